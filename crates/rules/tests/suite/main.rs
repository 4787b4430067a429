//! The room from outside: texts in, faults and decisions out.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod outlook;
#[cfg(test)]
mod policy_faults;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod starter_set;
#[cfg(test)]
mod world;
