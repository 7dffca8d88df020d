import { createFileRoute } from '@tanstack/react-router'
import { Voice } from '../Voice'
import { getRealtimeToken } from '../token'

export const Route = createFileRoute('/')({ component: () => <Voice getToken={() => getRealtimeToken()} /> })
