//! The protocol under every order of events.
