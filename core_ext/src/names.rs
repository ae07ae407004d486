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
    Actor "actor", Channel "channel", Consumer "consumer", Data "data", Event "event", Exclude "exclude",
    First "first", FrameBytes "frame", Instance "instance", Note "note", Payload "payload", Session "session",
    User "user",
}
