// Random choices that a seed repeats.

class Random {
  #state

  constructor(seed) {
    this.#state = seed >>> 0
  }

  /** From 0 to 1, 1 excluded (mulberry32). */
  number() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  below(limit) {
    return Math.floor(this.number() * limit)
  }

  chance(probability) {
    return this.number() < probability
  }

  of(list) {
    return list[this.below(list.length)]
  }
}

module.exports = { Random }
