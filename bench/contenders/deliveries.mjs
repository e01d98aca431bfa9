// Counts what was queued and what was acknowledged, for the clients that tell of each.

export class Deliveries {
  #sent = 0
  #acked = 0
  #high
  #low
  #room = null
  #flush = null
  #error = null

  /** `ready()` waits when `high` are not acknowledged, until no more than half of them are. */
  constructor(high = Infinity) {
    this.#high = high
    this.#low = high / 2
  }

  /** Returns whether more may be sent at once. */
  sent(count = 1) {
    this.#sent += count
    return this.#sent - this.#acked < this.#high
  }

  acked(count = 1) {
    this.#acked += count
    const open = this.#sent - this.#acked
    if (open <= this.#low) this.#settle('room')
    if (open === 0) this.#settle('flush')
  }

  failed(error) {
    this.#error ??= error
    this.#settle('room')
    this.#settle('flush')
  }

  get ackedCount() {
    return this.#acked
  }

  /** Resolves when there is room again. */
  ready() {
    return this.#wait('room', this.#sent - this.#acked <= this.#low)
  }

  /** Resolves when all that was sent is acknowledged. */
  flushed() {
    return this.#wait('flush', this.#sent === this.#acked)
  }

  #wait(name, now) {
    if (this.#error) return Promise.reject(this.#error)
    if (now) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject }
      if (name === 'room') this.#room = waiter
      else this.#flush = waiter
    })
  }

  #settle(name) {
    const waiter = name === 'room' ? this.#room : this.#flush
    if (!waiter) return
    if (name === 'room') this.#room = null
    else this.#flush = null
    if (this.#error) waiter.reject(this.#error)
    else waiter.resolve()
  }
}
