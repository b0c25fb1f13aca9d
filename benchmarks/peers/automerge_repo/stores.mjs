// The work of `store.peers` (stores.py), with an Automerge document for each record in a file of its own, written
// as automerge-repo's storage for Node does it: without fsync. It has no index and no rows beside the documents: a
// query goes through all of them in memory, so opening loads them all.
//
//   node stores.mjs fill FOLDER     make, read, query and update; prints the figures as JSON
//   node stores.mjs open FOLDER     a new process: from before the library is imported to the first answer
import fs from 'node:fs'
import path from 'node:path'

const began = performance.now()
const A = await import('@automerge/automerge')
const [verb, folder] = process.argv.slice(2)

const COUNT = 5000, CITIES = 250, READS = 300, QUERIES = 100, UPDATES = 200
const text = value => new A.ImmutableString(value) // plain strings, not collaborative texts
const record = n => ({
  name: text(`person ${n}`), city: text(`city ${n % CITIES}`), number: n, amount: n * 37 % 10000 / 100,
  done: n % 3 === 0, note: text(`what is to be said about person ${n}`),
})
const name = n => String(n).padStart(5, '0')
const file = id => path.join(folder, id)
const asked = count => Array.from({ length: count }, (_, n) => n * 7919 % COUNT)
const plain = doc => Object.fromEntries(Object.entries(doc).map(([k, v]) => [k, v instanceof A.ImmutableString ? v.val : v]))
const docs = new Map()

const store = {
  create(records) {
    for (const [id, value] of records) {
      docs.set(id, A.from(value))
      fs.writeFileSync(file(id), A.save(docs.get(id)))
    }
  },
  read: id => plain(A.load(fs.readFileSync(file(id)))),
  query: city => [...docs.values()].filter(doc => doc.city.val === city).map(plain),
  update(id, number) {
    docs.set(id, A.change(docs.get(id), doc => { doc.number = number }))
    fs.writeFileSync(file(id), A.save(docs.get(id)))
  },
  load() {
    for (const id of fs.readdirSync(folder)) docs.set(id, A.load(fs.readFileSync(file(id))))
  },
}

function check(found, city) {
  if (found.length !== COUNT / CITIES || found.some(one => one.city !== `city ${city}`))
    throw new Error(`the query found ${found.length} records, not the ${COUNT / CITIES} of its city`)
}

function timed(work, numbers) {
  const taken = numbers.map(n => { const start = performance.now(); work(n); return performance.now() - start })
  taken.sort((a, b) => a - b)
  return (taken[(taken.length - 1) >> 1] + taken[taken.length >> 1]) / 2
}

function fill() {
  const records = Array.from({ length: COUNT }, (_, n) => [name(n), record(n)])
  const start = performance.now()
  store.create(records)
  const found = { create: COUNT / ((performance.now() - start) / 1000) }
  found.read = timed(n => store.read(name(n)), asked(READS))
  found.query = timed(n => check(store.query(`city ${n % CITIES}`), n % CITIES), asked(QUERIES))
  found.update = timed(n => store.update(name(n), -n - 1), asked(UPDATES))
  for (const n of asked(UPDATES))
    if (store.read(name(n)).number !== -n - 1) throw new Error(`record ${n} is not what it was updated to`)
  return found
}

if (verb === 'fill') {
  console.log(JSON.stringify(fill()))
} else {
  store.load()
  check(store.query('city 77'), 77)
  console.log(JSON.stringify({ open: performance.now() - began }))
}
