/** Takes connections in: a bounded number of unfinished handshakes, the oldest out first, and only keys that are admissible. */
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import { FabricError } from '../../../core/errors.ts'
import type { PeerId } from '../../../core/ids.ts'
import type { Validation } from '../../../core/validation.ts'
import type { Clock } from '../../runtime/ports.ts'
import { type Credentials, peerOfCertificate } from './certificate.ts'
import type { MeshLimits, MeshReject } from './options.ts'
import { addressBlock, Rates } from './rate.ts'
import { ALPN, ALPN_REVERSE } from './wire.ts'

export type ListenerOptions = { readonly credentials: Credentials; readonly limits: MeshLimits }
export type ListenerPorts = {
  readonly clock: Clock
  readonly onReject: (reason: MeshReject, peer: PeerId | null) => void
  /** The handshake is done and the key admitted; `settle` says that the session is let in, or over. */
  readonly onPeer: (socket: TLSSocket, peer: PeerId, block: string, settle: () => void) => void
}
type Pending = { readonly socket: Duplex; readonly block: string }

/** Of a connection through a gateway: its block is not known here. */
const RELAYED_BLOCK = 'relayed'

export class Listener {
  readonly #limits: MeshLimits
  readonly #ports: ListenerPorts
  readonly #tls: TlsServer
  readonly #rates: Rates
  /** Connections whose handshake or first exchange is not done, oldest first. */
  readonly #pending = new Map<string, Pending>()
  #server: Server | undefined
  #address: { readonly host: string; readonly port: number } | undefined

  constructor(options: ListenerOptions, ports: ListenerPorts) {
    this.#limits = options.limits
    this.#ports = ports
    this.#rates = new Rates(options.limits.connectsPerSecond, options.limits.connectsBurst, ports.clock)
    this.#tls = createTlsServer({
      ...options.credentials,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      requestCert: true,
      // The authority over who is who is the PeerId, which `#admit` takes from the certificate.
      rejectUnauthorized: false,
      ALPNProtocols: [ALPN, ALPN_REVERSE],
      handshakeTimeout: options.limits.handshakeMs,
    })
    this.#tls.on('secureConnection', (socket) => this.#admit(socket))
    this.#tls.on('tlsClientError', (error, socket) => {
      const reason = handshakeFault('code' in error ? error.code : undefined)
      if (reason !== undefined) ports.onReject(reason, null)
      socket.destroy()
    })
  }

  get address(): { readonly host: string; readonly port: number } | undefined {
    return this.#address
  }

  /** For metrics and tests. */
  get pendingCount(): number {
    return this.#pending.size
  }

  /** @throws CF_CONTROL_PORT_BUSY when the port is taken, CF_CONFIG_INVALID when there is no such address here */
  async listen(host: string, port: number): Promise<void> {
    const server = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#take(socket))
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenFault(error, host, port)))
      server.listen({ host, port }, resolve)
    })
    const address = server.address()
    if (address !== null && typeof address !== 'string') this.#address = { host, port: address.port }
    // After it listens: what fails then is one connection, such as no free descriptor.
    server.on('error', () => this.#ports.onReject('handshake_failed', null))
  }

  /** A connection that came through a gateway. */
  adopt(way: Duplex): void {
    this.#tls.emit('connection', way)
  }

  async close(): Promise<void> {
    for (const { socket } of this.#pending.values()) socket.destroy()
    this.#tls.close()
    const server = this.#server
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()))
  }

  #take(socket: Socket): void {
    socket.on('error', () => {})
    const block = addressBlock(socket.remoteAddress)
    if (!this.#rates.take(block)) {
      this.#ports.onReject('rate', null)
      socket.destroy()
      return
    }
    const name = nameOf(socket)
    this.#pending.set(name, { socket, block })
    socket.once('close', () => this.#pending.delete(name))
    this.#evict(block)
    this.#tls.emit('connection', socket)
  }

  /** Why the oldest goes: an honest handshake takes two round trips, a silent one all the time that it gets. */
  #evict(block: string): void {
    const ofBlock = [...this.#pending.values()].filter((pending) => pending.block === block)
    const { handshakesPerBlockMax, handshakesMax } = this.#limits
    const [oldestOfBlock] = ofBlock
    const [oldest] = this.#pending.values()
    if (ofBlock.length > handshakesPerBlockMax) this.#drop(oldestOfBlock)
    else if (this.#pending.size > handshakesMax) this.#drop(oldest)
  }

  #drop(pending: Pending | undefined): void {
    this.#ports.onReject('handshake_too_slow', null)
    pending?.socket.destroy()
  }

  #admit(socket: TLSSocket): void {
    socket.on('error', () => {})
    const found = peerOf(socket)
    if (found === undefined || found.action !== 'accept') {
      this.#ports.onReject(found === undefined ? 'handshake_failed' : 'key_not_admitted', null)
      socket.destroy()
      return
    }
    const name = nameOf(socket)
    const block = socket.remoteAddress === undefined ? RELAYED_BLOCK : addressBlock(socket.remoteAddress)
    this.#ports.onPeer(socket, found.value, block, () => this.#pending.delete(name))
  }
}

/** @returns undefined when the other side is no peer at all: no certificate, another protocol, or a session out of the past */
function peerOf(socket: TLSSocket): Validation<PeerId> | undefined {
  const certificate = socket.getPeerX509Certificate()
  const known = socket.alpnProtocol === ALPN || socket.alpnProtocol === ALPN_REVERSE
  return certificate === undefined || socket.isSessionReused() || !known ? undefined : peerOfCertificate(certificate)
}

/** @returns undefined when the connection just ended: the other side went, or we dropped it and have counted that */
function handshakeFault(code: unknown): MeshReject | undefined {
  if (code === 'ECONNRESET') return undefined
  return code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 'handshake_too_slow' : 'handshake_failed'
}

function nameOf(socket: Socket): string {
  return `${socket.remoteAddress}/${socket.remotePort}`
}

function listenFault(error: Error, host: string, port: number): FabricError {
  const busy = 'code' in error && error.code === 'EADDRINUSE'
  return new FabricError(busy ? 'CF_CONTROL_PORT_BUSY' : 'CF_CONFIG_INVALID', { host, port }, error)
}
