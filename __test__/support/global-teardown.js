module.exports = () => globalThis.endSharedKafka()
