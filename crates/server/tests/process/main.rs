//! The real binary as a real process: killed, stopped, misconfigured, out of disk. Nothing is mocked; providers are
//! served by the test on loopback, so that what was done can be counted.

#[cfg(test)]
mod adding;
#[cfg(test)]
mod checking;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod configuration_page;
#[cfg(test)]
mod database_disk;
#[cfg(test)]
mod database_wires;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod greeters;
#[cfg(test)]
mod hanging;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod ledger_upkeep;
#[cfg(test)]
mod notices;
#[cfg(test)]
mod person;
#[cfg(test)]
mod policy_cases;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod provider_kills;
#[cfg(test)]
mod provider_process;
#[cfg(test)]
mod provider_wires;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod record_export;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registered_anew;
#[cfg(test)]
mod registering;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod replica;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod services;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod torture;
#[cfg(test)]
mod walked;
#[cfg(test)]
mod wire;
