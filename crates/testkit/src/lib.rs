//! A whole platform in one process, for tests: a real store on disk, real HTTP on loopback, real providers made with
//! the SDK, real people with passwords, a real mail server and a real receiver of webhooks. Nothing in it is a mock.
//!
//! Begin reading at [`Bench`]; `tests/` shows how it is used.

pub mod bench;
pub mod builder;
pub mod dice;
pub mod effects;
pub mod fetched;
pub mod front;
pub mod leaping_clock;
pub mod mail_server;
pub mod patience;
pub mod receiver;
pub mod rude;
pub mod skipped;

pub use bench::{Bench, Setup};
pub use builder::{Builder, Mortal};
pub use dice::Dice;
pub use effects::Effects;
pub use front::Front;
pub use leaping_clock::LeapingClock;
pub use mail_server::{MailServer, MailServerSetup};
pub use receiver::{Posted, Receiver};
pub use skipped::skipped;
