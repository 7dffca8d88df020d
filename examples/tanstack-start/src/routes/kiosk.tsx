import { createFileRoute } from '@tanstack/react-router'
import { Voice } from '../Voice'
import { getKioskToken } from '../kioskToken'

export const Route = createFileRoute('/kiosk')({ component: () => <Voice getToken={() => getKioskToken()} /> })
