// Progress files, as a process that is no more has left them.

/** CRC-32C. */
function crc32c(bytes) {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

/** A progress file's text, right in itself. `content` is what it says its file begins with. */
function progressText(base, content, floors) {
  const beginning = Buffer.from(content).subarray(0, 1024)
  const progress = JSON.stringify({
    base,
    ...(floors && { floors }),
    fingerprint: crc32c(beginning),
    fingerprint_length: beginning.length,
  })
  return `{"progress":${progress},"crc32c":${crc32c(Buffer.from(progress))}}\n`
}

module.exports = { crc32c, progressText }
