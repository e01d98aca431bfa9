// Teaches kafkajs, which only knows gzip, to read the other codecs. The tests only read with it:
// what is read was compressed by librdkafka or by Kafka's own tools.

const { CompressionCodecs, CompressionTypes } = require('kafkajs')
const fzstd = require('fzstd')
const lz4 = require('lz4js')
const snappy = require('snappyjs')

CompressionCodecs[CompressionTypes.Snappy] = reader(readSnappy)
CompressionCodecs[CompressionTypes.LZ4] = reader(lz4.decompress)
CompressionCodecs[CompressionTypes.ZSTD] = reader(fzstd.decompress)

function reader(decompress) {
  return () => ({
    async compress() {
      throw new Error('the tests compress nothing with kafkajs')
    },
    async decompress(compressed) {
      const { buffer, byteOffset, byteLength } = decompress(compressed)
      return Buffer.from(buffer, byteOffset, byteLength)
    },
  })
}

// Java clients cut snappy into blocks behind this magic and two version numbers; librdkafka sends
// one bare block.
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
const XERIAL_HEADER = 16

function readSnappy(compressed) {
  if (!compressed.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) {
    return snappy.uncompress(compressed)
  }
  const blocks = []
  for (let at = XERIAL_HEADER; at < compressed.length; ) {
    const length = compressed.readUInt32BE(at)
    at += 4
    blocks.push(snappy.uncompress(compressed.subarray(at, at + length)))
    at += length
  }
  return Buffer.concat(blocks)
}
