// Layer 2: the line between machines that share a job: a NATS server with JetStream.
export {
  ACK_WAIT_SECONDS,
  connectNats,
  controlSubject,
  DUPLICATE_WINDOW_NS,
  type Nats,
  publish,
  SITE_ANY,
  safe,
  streamName,
  subjectOf,
} from './nats.ts';
