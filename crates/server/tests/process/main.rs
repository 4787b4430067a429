//! The real binary as a real process: killed, stopped, misconfigured, out of disk. Nothing is mocked; providers are
//! served by the test on loopback, so that what was done can be counted.

mod checking;
mod configuration_page;
mod disk;
mod gateway;
mod kills;
mod person;
mod proof;
mod providers;
mod random_kills;
mod refusals;
mod reload;
mod rules;
mod stopping;
