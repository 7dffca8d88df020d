// A CA and a certificate for localhost, by openssl: Node reads certificates and makes none.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificate {
  ca: string
  cert: string
  key: string
}

export function makeCertificate(host = 'localhost'): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'certificate-'))
  const request = (...args: string[]) => {
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
    execFileSync('openssl', ['req', '-x509', ...newKey, ...args], { cwd: folder, stdio: 'pipe' })
  }
  try {
    request('-subj', '/CN=test CA', '-keyout', 'ca.key', '-out', 'ca.crt')
    const names = `subjectAltName=DNS:${host}`
    const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', names]
    request('-subj', '/CN=test', '-CA', 'ca.crt', '-CAkey', 'ca.key', ...leaf, '-keyout', 'tls.key', '-out', 'tls.crt')
    const read = (name: string) => readFileSync(join(folder, name), 'utf8')
    return { ca: read('ca.crt'), cert: read('tls.crt'), key: read('tls.key') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
