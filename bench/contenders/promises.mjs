// A promise for each message, many of them pending.

import { Deliveries } from './deliveries.mjs'

export class Promises {
  #send
  #deliveries
  #close

  /**
   * @param {(key: string, value: object) => Promise<unknown>} send resolves when it is acknowledged
   * @param {object} options
   * @param {number} options.promises so many are pending, at most
   * @param {() => Promise<void>} options.close
   */
  constructor(send, { promises, close }) {
    this.#send = send
    this.#deliveries = new Deliveries(promises)
    this.#close = close
  }

  queue(key, value) {
    this.#send(key, value).then(
      () => this.#deliveries.acked(),
      (error) => this.#deliveries.failed(error)
    )
    return this.#deliveries.sent()
  }

  ready() {
    return this.#deliveries.ready()
  }

  acked() {
    return this.#deliveries.ackedCount
  }

  flushed() {
    return this.#deliveries.flushed()
  }

  close() {
    return this.#close()
  }
}
