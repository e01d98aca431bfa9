//! `MockCluster`: Kafka embedded, for the demo and for tests without Docker and without a JVM.
