//! The names of arguments as types, so that an error of a conversion can say them.

/// The name of an argument.
pub trait Name {
    const NAME: &'static str;
}

macro_rules! names {
    ($($type:ident $name:literal),* $(,)?) => {$(
        pub struct $type;
        impl Name for $type {
            const NAME: &'static str = $name;
        }
    )*};
}

names! {
    Actor "actor", After "after", Also "also", Batch "batch", Budget "budget", CacheTtl "cache_ttl",
    CacheUsers "cache_users", Channel "channel", Consumer "consumer", Data "data", Descriptor "descriptor", End "end",
    Epoch "epoch", Event "event", Exclude "exclude", First "first", Floor "floor", FlushEvents "flush_events",
    FlushInterval "flush_interval", FrameBytes "frame", Index "index", Instance "instance", Lane "lane",
    MaxBatch "max_batch", MonotonicNs "monotonic_ns", Most "most", MostAside "most_aside", MostBytes "most_bytes", Note "note",
    Part "part", Partitions "partitions", Payload "payload", Points "points", Position "position", Seed "seed", Seq "seq", Session "session",
    Sid "sid", Socket "socket", Start "start", UnixNs "unix_ns", Upto "upto", User "user", Without "without",
}
