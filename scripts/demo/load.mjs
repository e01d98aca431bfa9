// The demo's messages: the content of each follows from its id, so that it can be told at the end
// whether it has arrived as it was queued.

const PER_SECOND = 2000
const USERS = 500
const ACTIONS = ['search', 'view', 'add to basket', 'pay']

export const keyOf = (id) => `user-${(id * 7919) % USERS}`

export const messageOf = (run, id) => ({
  run,
  id,
  user: keyOf(id),
  action: ACTIONS[id % ACTIONS.length],
  amount: (id * 37) % 10000,
  page: `https://shop.example/products/${(id * 101) % 1000}`,
})

/** Queues messages at a steady rate until `stop()`. */
export class Load {
  static perSecond = PER_SECOND
  count = 0
  /** Times of the calls of `queue()`, in milliseconds. */
  slowest = 0
  total = 0
  #timer

  constructor(publisher, run) {
    const begin = performance.now()
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - begin) / 1000) * PER_SECOND)
      while (this.count < due) this.#queueOne(publisher, run)
    }, 10)
  }

  #queueOne(publisher, run) {
    const key = keyOf(this.count)
    const message = messageOf(run, this.count++)
    const before = performance.now()
    publisher.queue(key, message)
    const time = performance.now() - before
    this.total += time
    this.slowest = Math.max(this.slowest, time)
  }

  stop() {
    clearInterval(this.#timer)
  }
}
