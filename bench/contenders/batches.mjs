// For the clients whose send() takes many messages at once and does not collect them: a user has to
// do that. Collects for as long as librdkafka's linger.ms and up to a size, and sends a few batches at
// a time.

import { Deliveries } from './deliveries.mjs'

export class Batches {
  #send
  #linger
  #limit
  #inFlight = 0
  #mostInFlight
  #batch = []
  #bytes = 0
  #timer = null
  #full = []
  #deliveries = new Deliveries()
  #room = null

  /**
   * @param {(messages: object[]) => Promise<unknown>} send resolves when they are acknowledged
   * @param {object} options
   * @param {number} options.linger how long the first message of a batch waits, in milliseconds
   * @param {number} options.limit bytes of a batch
   * @param {number} options.inFlight batches that are sent and not acknowledged, at most
   */
  constructor(send, { linger, limit, inFlight }) {
    this.#send = send
    this.#linger = linger
    this.#limit = limit
    this.#mostInFlight = inFlight
  }

  /** `bytes`: of the message, for the limit. Returns false when enough is on its way. */
  add(message, bytes) {
    this.#deliveries.sent()
    this.#batch.push(message)
    this.#bytes += bytes
    if (this.#bytes >= this.#limit) this.#close()
    else this.#timer ??= setTimeout(() => this.#close(), this.#linger)
    return !this.#isFull()
  }

  #isFull() {
    return this.#inFlight + this.#full.length >= this.#mostInFlight
  }

  #close() {
    clearTimeout(this.#timer)
    this.#timer = null
    this.#full.push(this.#batch)
    this.#batch = []
    this.#bytes = 0
    this.#next()
  }

  #next() {
    while (this.#full.length > 0 && this.#inFlight < this.#mostInFlight) {
      const batch = this.#full.shift()
      this.#inFlight++
      this.#send(batch).then(
        () => {
          this.#inFlight--
          this.#deliveries.acked(batch.length)
          this.#next()
          if (!this.#isFull()) this.#makeRoom()
        },
        (error) => {
          this.#deliveries.failed(error)
          this.#makeRoom()
        }
      )
    }
  }

  #makeRoom() {
    this.#room?.()
    this.#room = null
  }

  ready() {
    if (!this.#isFull()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#room = resolve
    })
  }

  acked() {
    return this.#deliveries.ackedCount
  }

  flushed() {
    return this.#deliveries.flushed()
  }
}
