// As fast as a client takes them.

/**
 * Queues `count` messages, and waits where the client asks for it.
 *
 * @returns {Promise<number>} the time spent in the loop that queues, waits not counted, in ms
 */
export async function publish(client, messages, count) {
  let inside = 0
  let begin = performance.now()
  for (let number = 0; number < count; number++) {
    const { key, value } = messages[number % messages.length]
    if (client.queue(key, value)) continue
    inside += performance.now() - begin
    await client.ready()
    begin = performance.now()
  }
  return inside + performance.now() - begin
}
