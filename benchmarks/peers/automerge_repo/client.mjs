// One device, driven by JSON lines on standard input, answering with JSON lines.
// Usage: node client.mjs PORT NAME. Instants are CLOCK_MONOTONIC nanoseconds, as in Python.
import { createInterface } from 'node:readline'
import { ImmutableString } from '@automerge/automerge'
import { Repo } from '@automerge/automerge-repo'
import { WebSocketClientAdapter } from '@automerge/automerge-repo-network-websocket'

const [port, name] = process.argv.slice(2)
const repo = new Repo({ network: [new WebSocketClientAdapter(`ws://127.0.0.1:${port}`)], peerId: name })
const now = () => Number(process.hrtime.bigint())
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const say = message => process.stdout.write(JSON.stringify(message) + '\n')
let handle
// A request that was given up rejects once more inside the library; the retry is ours.
process.on('unhandledRejection', () => {})

// The record of all figures: six plain strings, not collaborative texts.
const record = i => Object.fromEntries(
  Array.from({ length: 6 }, (_, k) => [`field${k}`, new ImmutableString(`value ${i} ${k}`)]))

async function find(url) {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      const found = await repo.find(url, { signal: AbortSignal.timeout(20000) })
      if (found.doc().field5 !== undefined) return say({ found: url, at: now() })
      return found.on('change', () => found.doc().field5 !== undefined && say({ found: url, at: now() }))
    } catch { // "unavailable": the server has not got it yet
      delete repo.handles[url.replace('automerge:', '')]
      await sleep(250)
    }
  }
  say({ error: `${url} never became available` })
}

const verbs = {
  async create({ count }) {
    say({ began: now() })
    for (let i = 0; i < count; i++) {
      say({ url: repo.create(record(i)).url })
      if (i % 20 === 19) await sleep(0) // let the network have its turn
    }
  },
  find({ url }) { find(url) },
  one({ text }) { handle = repo.create(text ? { n: 0, t: '' } : { n: 0 }); say({ url: handle.url }) },
  async watch({ url, upto }) {
    handle = await repo.find(url)
    const seen = []
    const look = () => {
      const n = handle.doc().n
      if (n > (seen.length ? seen[seen.length - 1][0] : 0)) seen.push([n, now()])
      if (n >= upto) say({ seen })
    }
    handle.on('change', look)
    say({ watching: true })
  },
  async changes({ count }) {
    say({ began: now() })
    for (let n = 1; n <= count; n++) {
      handle.change(doc => { doc.n = n })
      if (n % 10 === 0) await sleep(0) // let the network have its turn
    }
  },
  async wide({ count, first, keys, turns }) { // without turns in one tick: the network has its own afterwards
    say({ began: now() })
    for (let n = 1; n <= count; n++) {
      handle.change(doc => { doc.n = first + n; doc[`k${n % keys}`] = n })
      if (turns && n % 10 === 0) await sleep(0)
    }
  },
  async edit({ count, gap }) {
    const sent = []
    for (let n = 1; n <= count; n++) {
      sent.push(now())
      handle.change(doc => { doc.n = n })
      await sleep(gap * 1000)
    }
    say({ sent })
  },
}

await repo.networkSubsystem.whenReady()
say({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const { do: verb, ...parameters } = JSON.parse(line)
  verbs[verb](parameters)
}
process.exit(0)
