//! Teams, services and who owns what: the facts that policies and approvals lean on.
//!
//! Read from YAML texts (several files make one registry). Everything is checked and indexed when it is read, so
//! that asking costs little and cannot fail.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use guichet_contract::Digest;

use crate::{
    calendar::Calendar,
    fault::Fault,
    pattern::{Pattern, Specificity},
    policies::named,
    registry_text::Reading,
};

/// The owner that policies see where no team owns a resource. No team can have this name, and nobody is in it.
pub const UNOWNED: &str = "unowned";

/// A group of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Unique.
    pub name: String,
    /// Its own members, without those of the teams inside it.
    pub members: BTreeSet<String>,
    /// Where its people read: a chat channel.
    pub chat: Option<String>,
    /// The teams it is part of.
    pub parents: BTreeSet<String>,
}

/// Something that runs, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique.
    pub name: String,
    /// The team that owns it.
    pub owner: String,
    /// One line.
    pub description: Option<String>,
}

/// What is known of a person beside the teams they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// As the gateway knows them.
    pub name: String,
    /// Their address of mail.
    pub email: Option<String>,
}

/// All teams, services and resource owners. Immutable.
#[derive(Debug, Clone)]
pub struct Registry {
    teams: BTreeMap<String, Team>,
    services: BTreeMap<String, Service>,
    people: BTreeMap<String, Person>,
    /// Team → itself and all it is part of.
    within: HashMap<String, BTreeSet<String>>,
    /// Team → its members and those of all teams inside it.
    members: HashMap<String, BTreeSet<String>>,
    /// Person → all their teams.
    teams_of: HashMap<String, BTreeSet<String>>,
    /// By first segment, each list from the most specific; patterns with a wildcard there are under "".
    owners: HashMap<String, Vec<Ownership>>,
    calendar: Calendar,
    digest: Digest,
}

#[derive(Debug, Clone)]
pub(crate) struct Ownership {
    pub(crate) pattern: Pattern,
    pub(crate) specificity: Specificity,
    pub(crate) owner: String,
}

impl Registry {
    /// Reads the registry from its files: `(name, text)`, in any order.
    ///
    /// # Errors
    /// All faults found, in the order of file and place.
    pub fn parse(files: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading::of(files);
        let teams = reading.teams();
        let within = reading.within(&teams);
        let services = reading.services(&teams);
        let owners = reading.owners(&teams);
        let calendar = reading.calendar(&teams);
        let people = reading.people();
        reading.finish()?;

        let mut members: HashMap<String, BTreeSet<String>> = HashMap::new();
        let mut teams_of: HashMap<String, BTreeSet<String>> = HashMap::new();
        for team in teams.values() {
            for outer in &within[&team.name] {
                members.entry(outer.clone()).or_default().extend(team.members.iter().cloned());
                for person in &team.members {
                    teams_of.entry(person.clone()).or_default().insert(outer.clone());
                }
            }
        }
        let digest = Digest::of_json(&serde_json::json!(named(files)));
        Ok(Self { teams, services, people, within, members, teams_of, owners, calendar, digest })
    }

    /// A registry of nothing: no teams, no owners.
    pub fn empty() -> Self {
        Self {
            teams: BTreeMap::new(),
            services: BTreeMap::new(),
            people: BTreeMap::new(),
            within: HashMap::new(),
            members: HashMap::new(),
            teams_of: HashMap::new(),
            owners: HashMap::new(),
            calendar: Calendar::default(),
            digest: Digest::of_json(&serde_json::json!([])),
        }
    }

    /// The team that owns a resource, by the most specific pattern that matches.
    pub fn owner_of(&self, resource: &str) -> Option<&str> {
        let first = resource.split('/').next().unwrap_or(resource);
        [first, ""]
            .into_iter()
            .filter_map(|key| {
                self.owners.get(key)?.iter().find(|ownership| ownership.pattern.matches(resource))
            })
            .max_by_key(|ownership| ownership.specificity)
            .map(|ownership| ownership.owner.as_str())
    }

    /// All teams of a person, including those their teams are part of. Empty when nobody knows them.
    pub fn teams_of(&self, person: &str) -> BTreeSet<String> {
        self.teams_of.get(person).cloned().unwrap_or_default()
    }

    /// The members of a team and of all teams inside it. Empty when nobody knows the team.
    pub fn members_of(&self, team: &str) -> &BTreeSet<String> {
        static NOBODY: BTreeSet<String> = BTreeSet::new();
        self.members.get(team).unwrap_or(&NOBODY)
    }

    /// These teams and all they are part of. A team that only an identity provider knows counts for nothing: whoever
    /// makes a group there could else be in the team that a provider's document names, or in the one that stands for
    /// "no owner".
    pub fn with_parents<'a>(&'a self, teams: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
        let known = teams.into_iter().filter_map(|team| self.within.get(team));
        known.flatten().map(String::as_str).collect()
    }

    /// Who is on call when, and the office hours.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The team of this name.
    pub fn team(&self, name: &str) -> Option<&Team> {
        self.teams.get(name)
    }

    /// All teams, by name.
    pub fn teams(&self) -> impl Iterator<Item = &Team> {
        self.teams.values()
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    /// All services, by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// What is known of this person beside their teams.
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.people.get(name)
    }

    /// Digest of the texts it was read from.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}
