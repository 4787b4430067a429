//! Reading the registry's YAML: what the files say, and what is wrong in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::{
    calendar::{Calendar, OfficeHoursText, OnCallText},
    fault::Fault,
    nearest::did_you_mean,
    pattern::{Pattern, Specificity},
    registry::{Ownership, Person, Service, Team, UNOWNED},
};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct FileText {
    teams: Vec<TeamText>,
    services: Vec<ServiceText>,
    resources: Vec<ResourceText>,
    on_call: Vec<OnCallText>,
    office_hours: Option<Spanned<OfficeHoursText>>,
    people: Vec<PersonText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonText {
    name: Spanned<String>,
    #[serde(default)]
    email: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TeamText {
    name: Spanned<String>,
    #[serde(default)]
    members: Vec<Spanned<String>>,
    #[serde(default)]
    chat: Option<String>,
    #[serde(default)]
    parents: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceText {
    name: Spanned<String>,
    owner: Spanned<String>,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceText {
    pattern: Spanned<String>,
    owner: Spanned<String>,
}

/// Collects what is found wrong, so that one reading tells everything.
pub(crate) struct Reading<'a> {
    faults: Vec<Fault>,
    files: Vec<(&'a str, FileText)>,
}

impl<'a> Reading<'a> {
    /// Reads the files; one that cannot be read is a fault and as if empty.
    pub(crate) fn of(files: &'a [(String, String)]) -> Self {
        let mut reading = Self { faults: Vec::new(), files: Vec::new() };
        for (name, text) in files {
            match read(text) {
                Ok(file) => reading.files.push((name, file)),
                Err(error) => reading.faults.push(shape_fault(name, &error)),
            }
        }
        reading
    }

    /// All faults, in the order of file and place.
    pub(crate) fn finish(mut self) -> Result<(), Vec<Fault>> {
        self.faults.sort();
        self.faults.dedup();
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }

    fn fault(&mut self, file: &str, at: Location, message: String) {
        let number = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).max(1);
        let (line, column) = (number(at.line()), number(at.column()));
        self.faults.push(Fault { file: file.to_owned(), line, column, message });
    }

    pub(crate) fn teams(&mut self) -> BTreeMap<String, Team> {
        let mut teams: BTreeMap<String, Team> = BTreeMap::new();
        let mut found = Vec::new();
        for (file, text) in &self.files {
            for team in &text.teams {
                let name = &team.name.value;
                if let Err(why) = check_team_name(name) {
                    found.push((*file, team.name.referenced, why));
                }
                let mut members = BTreeSet::new();
                for member in &team.members {
                    if let Err(why) = check_person(&member.value) {
                        found.push((*file, member.referenced, why));
                    }
                    if !members.insert(member.value.clone()) {
                        let why =
                            format!("`{}` is listed twice in the team `{name}`: remove one", member.value);
                        found.push((*file, member.referenced, why));
                    }
                }
                let team_read = Team {
                    name: name.clone(),
                    members,
                    chat: team.chat.clone(),
                    parents: team.parents.iter().map(|parent| parent.value.clone()).collect(),
                };
                if teams.insert(name.clone(), team_read).is_some() {
                    let why = format!("the team `{name}` is defined twice: keep one of the two");
                    found.push((*file, team.name.referenced, why));
                }
            }
        }
        for (file, at, why) in found {
            self.fault(file, at, why);
        }
        teams
    }

    pub(crate) fn people(&mut self) -> BTreeMap<String, Person> {
        let mut people = BTreeMap::new();
        let mut found = Vec::new();
        for (file, text) in &self.files {
            for person in &text.people {
                let name = &person.name.value;
                if let Err(why) = check_person(name) {
                    found.push((*file, person.name.referenced, why));
                }
                if let Some(email) = person.email.as_ref().filter(|email| !looks_like_mail(&email.value)) {
                    let why = format!("`{}` is no address of mail: write name@example.org", email.value);
                    found.push((*file, email.referenced, why));
                }
                let email = person.email.as_ref().map(|email| email.value.clone());
                if people.insert(name.clone(), Person { name: name.clone(), email }).is_some() {
                    let why = format!("the person `{name}` is listed twice: keep one of the two");
                    found.push((*file, person.name.referenced, why));
                }
            }
        }
        for (file, at, why) in found {
            self.fault(file, at, why);
        }
        people
    }

    /// Team → itself and all it is part of; unknown parents and cycles are faults.
    pub(crate) fn within(&mut self, teams: &BTreeMap<String, Team>) -> HashMap<String, BTreeSet<String>> {
        let mut found = Vec::new();
        for (file, text) in &self.files {
            for team in &text.teams {
                for parent in &team.parents {
                    if !teams.contains_key(&parent.value) {
                        found.push((*file, parent.referenced, unknown_team(&parent.value, teams)));
                    } else if reach(&parent.value, teams).contains(&team.name.value) {
                        let why = format!(
                            "the team `{}` would be inside itself: it is part of `{}`, which is part of `{0}`; remove one of the two",
                            team.name.value, parent.value
                        );
                        found.push((*file, parent.referenced, why));
                    }
                }
            }
        }
        for (file, at, why) in found {
            self.fault(file, at, why);
        }
        teams.keys().map(|name| (name.clone(), reach(name, teams))).collect()
    }

    pub(crate) fn services(&mut self, teams: &BTreeMap<String, Team>) -> BTreeMap<String, Service> {
        let mut services = BTreeMap::new();
        let mut found = Vec::new();
        for (file, text) in &self.files {
            for service in &text.services {
                if !teams.contains_key(&service.owner.value) {
                    found.push((*file, service.owner.referenced, unknown_team(&service.owner.value, teams)));
                }
                let name = service.name.value.clone();
                if name.trim().is_empty() {
                    found.push((
                        *file,
                        service.name.referenced,
                        "the service has no name: give it one".to_owned(),
                    ));
                }
                let read = Service {
                    name: name.clone(),
                    owner: service.owner.value.clone(),
                    description: service.description.clone(),
                };
                if services.insert(name.clone(), read).is_some() {
                    let why = format!("the service `{name}` is defined twice: keep one of the two");
                    found.push((*file, service.name.referenced, why));
                }
            }
        }
        for (file, at, why) in found {
            self.fault(file, at, why);
        }
        services
    }

    pub(crate) fn calendar(&mut self, teams: &BTreeMap<String, Team>) -> Calendar {
        let mut calendar = Calendar::default();
        let mut found = Vec::new();
        for (file, text) in &self.files {
            for on_call in &text.on_call {
                if !teams.contains_key(&on_call.team.value) {
                    found.push((*file, on_call.team.referenced, unknown_team(&on_call.team.value, teams)));
                }
                for shift in &on_call.shifts {
                    let added = check_person(&shift.person.value)
                        .and_then(|()| calendar.add_shift(&on_call.team.value, shift));
                    if let Err(why) = added {
                        found.push((*file, shift.person.referenced, why));
                    }
                }
            }
            if let Some(hours) = &text.office_hours
                && let Err(why) = calendar.set_office_hours(&hours.value)
            {
                found.push((*file, hours.referenced, why));
            }
        }
        for (file, at, why) in found {
            self.fault(file, at, why);
        }
        calendar
    }

    pub(crate) fn owners(&mut self, teams: &BTreeMap<String, Team>) -> HashMap<String, Vec<Ownership>> {
        let mut owners: HashMap<String, Vec<Ownership>> = HashMap::new();
        // Only patterns of one literal beginning and one specificity can tie.
        let mut rivals: HashMap<(String, Specificity), Vec<(Pattern, String)>> = HashMap::new();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (file, text) in &self.files {
            for resource in &text.resources {
                let (owner, at) = (&resource.owner.value, resource.pattern.referenced);
                if !teams.contains_key(owner) {
                    found.push((*file, resource.owner.referenced, unknown_team(owner, teams)));
                }
                let pattern = match Pattern::parse(&resource.pattern.value) {
                    Ok(pattern) => pattern,
                    Err(why) => {
                        found.push((*file, at, why));
                        continue;
                    }
                };
                if !seen.insert(pattern.text.clone()) {
                    let why = format!("the pattern `{}` is listed twice: keep one of the two", pattern.text);
                    found.push((*file, at, why));
                    continue;
                }
                let specificity = pattern.specificity();
                let group = rivals.entry((pattern.literal_prefix().to_owned(), specificity)).or_default();
                if let Some((other, other_owner)) =
                    group.iter().find(|(other, its)| its != owner && other.overlaps(&pattern))
                {
                    found.push((*file, at, format!(
                        "`{}` (owner `{owner}`) and `{}` (owner `{other_owner}`) match the same resources and neither is more specific: make one longer or give both to one team",
                        pattern.text, other.text
                    )));
                }
                group.push((pattern.clone(), owner.clone()));
                let key = pattern.first_literal().unwrap_or_default().to_owned();
                owners.entry(key).or_default().push(Ownership { pattern, specificity, owner: owner.clone() });
            }
        }
        for (file, at, why) in found {
            self.fault(file, at, why);
        }
        for list in owners.values_mut() {
            list.sort_by_key(|ownership| std::cmp::Reverse(ownership.specificity));
        }
        owners
    }
}

/// A team and all it is part of. Ends even where teams form a circle.
fn reach(team: &str, teams: &BTreeMap<String, Team>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![team];
    while let Some(name) = open.pop() {
        if let Some(team) = teams.get(name)
            && reached.insert(name.to_owned())
        {
            open.extend(team.parents.iter().map(String::as_str));
        }
    }
    reached
}

fn unknown_team(name: &str, teams: &BTreeMap<String, Team>) -> String {
    let near = did_you_mean(name, teams.keys().map(String::as_str));
    format!("no team is called `{name}`{near}")
}

fn check_team_name(name: &str) -> Result<(), String> {
    if name == UNOWNED {
        return Err(format!(
            "no team can be called `{UNOWNED}`: policies see that as the owner of what nobody owns"
        ));
    }
    let plain = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | ' ');
    if name.is_empty() || name.chars().count() > 100 || !name.chars().all(plain) || name.trim() != name {
        return Err(format!("`{name}` is no name of a team: use 1–100 letters, digits, `-`, `_`, `.`"));
    }
    Ok(())
}

fn check_person(name: &str) -> Result<(), String> {
    if name.is_empty()
        || name.chars().count() > 100
        || name.chars().any(char::is_control)
        || name.trim() != name
    {
        return Err(format!(
            "`{name}` is no name of a person: use 1–100 characters, no white space around them"
        ));
    }
    Ok(())
}

/// As far as it can be told without asking its server: one `@` with something on both sides, nothing that could end a
/// header line.
fn looks_like_mail(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;:\"()@".contains(&byte))
    };
    text.len() <= 254 && text.split_once('@').is_some_and(|(name, host)| plain(name) && plain(host))
}

fn read(text: &str) -> Result<FileText, serde_saphyr::Error> {
    // A file of comments only is a file of nothing.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(FileText::default());
    }
    serde_saphyr::from_str(text)
}

fn shape_fault(file: &str, error: &serde_saphyr::Error) -> Fault {
    let error = error.without_snippet();
    let at = error.location();
    let number = |position: Option<u64>| usize::try_from(position.unwrap_or(1)).unwrap_or(usize::MAX).max(1);
    let message = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => {
            let near = did_you_mean(field, expected.iter().copied());
            format!("unknown field `{field}`{near} (known here: {})", expected.join(", "))
        }
        serde_saphyr::Error::SerdeMissingField { field, .. } => {
            format!("the field `{field}` is missing: add it")
        }
        other => {
            // The place is told apart; the parser says it once more at the end of its first line.
            let text = other.to_string();
            text.lines().next().unwrap_or_default().to_owned()
        }
    };
    Fault {
        file: file.to_owned(),
        line: number(at.map(|at| at.line())),
        column: number(at.map(|at| at.column())),
        message,
    }
}
