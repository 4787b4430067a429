//! The policies in force: read, checked and prepared once, then only asked.
//!
//! Cedar evaluates every policy of a set for every question. So each action gets its own two sets, of the permits
//! and of the forbids whose scope can name it; actions with the same selection share one. Asking both sets in turn
//! gives Cedar's own decision (permitted by one, forbidden by none) and tells, unlike one set, whether a permit
//! stands behind a forbid that people may lift. No policy is evaluated twice.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{ActionConstraint, Authorizer, Effect, EntityUid, Policy, PolicyId, PolicySet};
use guichet_contract::{Action, Digest};
use serde_json::json;

use crate::{
    Registry, Rule,
    checks::{
        Read, check_types, offset_of, read_otherwise, repeated_ids, sentence_of, unknown_approvers,
        unknown_names,
    },
    fault::Fault,
    kinds::Kinds,
    memory::{self, Memory},
    reach::{self, Reach},
    request::Names,
    rule::Page,
    schema::{self, VERBS},
    shape::Seen,
    source::{self, Literal, Statement},
};

/// What holds where a policy does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Seconds an approval can wait, 60–2,592,000.
    pub approval_expires_seconds: u32,
}

impl Default for Defaults {
    /// 4 hours.
    fn default() -> Self {
        Self { approval_expires_seconds: 14_400 }
    }
}

/// The policies in force. Immutable.
pub struct Policies {
    pub(crate) registry: Registry,
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) names: Names,
    pub(crate) authorizer: Authorizer,
    /// By id, those that look at more than who asks, where and through what.
    pub(crate) reaches: HashMap<String, Reach>,
    slices: HashMap<String, Arc<Slice>>,
    warnings: Vec<Fault>,
    version: Digest,
    defaults: Defaults,
    pub(crate) memory: Memory,
}

/// What a question about an action needs; the same for all of one kind.
pub(crate) struct Slice {
    /// What the action is in.
    pub(crate) groups: Vec<EntityUid>,
    pub(crate) seen: Seen,
    pub(crate) permits: Arc<PolicySet>,
    pub(crate) forbids: Arc<PolicySet>,
    /// No policy of these reads what a single call brings, so an answer holds for the next call too.
    pub(crate) reads_no_call: bool,
}

impl Policies {
    /// Reads, checks and prepares the policies of these files `(name, text)` for all actions of a catalogue and a registry,
    /// together with what the providers of the actions declare.
    ///
    /// # Errors
    /// All faults found, in the order of file and place. Nothing is in force then.
    pub fn load(
        files: &[(String, String)],
        actions: &[Arc<Action>],
        registry: &Registry,
        defaults: Defaults,
    ) -> Result<Self, Vec<Fault>> {
        Self::load_without(&BTreeSet::new(), files, actions, registry, defaults)
    }

    /// The same while some providers are `absent`: configured, but their document was never read. A policy that names
    /// actions of theirs alone is passed over with a warning, since nothing it speaks of is offered; one that names
    /// other actions too is a fault, since passing it over could drop a `forbid`.
    ///
    /// # Errors
    /// As [`Policies::load`].
    pub fn load_without(
        absent: &BTreeSet<String>,
        files: &[(String, String)],
        actions: &[Arc<Action>],
        registry: &Registry,
        defaults: Defaults,
    ) -> Result<Self, Vec<Fault>> {
        let names = Names::new().map_err(|why| vec![Fault::of_file("catalogue", why)])?;
        let known = schema::action_names(actions)?;
        let mut faults = Vec::new();
        let mut warnings = Vec::new();
        let mut read = Vec::new();
        let mut named: HashSet<&str> = HashSet::new();
        for (file, text) in files {
            let page = Page { file, text, registry, actions: &known, defaults };
            let statements = source::statements(text);
            let mut found = Vec::new();
            for statement in &statements {
                let of_actions = |literal: &&Literal<'_>| literal.type_name == "Action";
                named.extend(statement.literals.iter().filter(of_actions).map(|literal| literal.id));
                if let Some(provider) = speaks_of_absent(statement, absent) {
                    let message = format!("passed over: provider `{provider}` has not been reached yet");
                    warnings.push(Fault::at(file, text, statement.start, message));
                    continue;
                }
                match read_policy(&page, statement) {
                    Ok(policy) => read.push(policy),
                    Err(faults) => found.extend(faults),
                }
            }
            if found.is_empty() {
                found.extend(read_otherwise(&page, statements.len()));
            }
            faults.extend(found);
        }
        for action in actions {
            if let Some(declared) = &action.approval {
                let rule = Rule::of_provider(action, declared, defaults);
                warnings.extend(unknown_approvers(&rule, registry));
                let policy =
                    provider_policy(&rule.id, action).map_err(|why| vec![Fault::of_file(&rule.file, why)])?;
                read.push(Read { rule, policy, place: None, declared_for: Some(action.id.as_str()) });
            }
        }
        faults.extend(repeated_ids(&read));
        let kinds = Kinds::of(actions, &named);
        if faults.is_empty() {
            let checked = check_types(&read, schema::schema_of(&kinds)?);
            faults.extend(checked.0);
            warnings.extend(checked.1);
        }
        if !faults.is_empty() {
            faults.sort();
            faults.dedup();
            return Err(faults);
        }

        let version = version_of(files, registry, defaults);
        let slices =
            slices(&read, actions, &kinds, &names).map_err(|why| vec![Fault::of_file("catalogue", why)])?;
        let reaches = reach::reaches(read.iter().map(|read| (read.rule.id.as_str(), &read.policy)))
            .map_err(|why| vec![Fault::of_file("policies", why)])?;
        let rules = read.into_iter().map(|read| (read.rule.id.clone(), read.rule)).collect();
        warnings.sort();
        warnings.dedup();
        let authorizer = Authorizer::new();
        Ok(Self {
            registry: registry.clone(),
            rules,
            names,
            authorizer,
            reaches,
            slices,
            warnings,
            version,
            defaults,
            memory: Memory::default(),
        })
    }

    /// Digest of what the company decides by: the policy files, the registry and the defaults.
    pub fn version(&self) -> &Digest {
        &self.version
    }

    /// What holds where these policies do not say.
    pub fn defaults(&self) -> Defaults {
        self.defaults
    }

    /// What is not wrong but surely not meant: a policy that can never apply, a provider that asks for the approval of
    /// a team nobody knows (which then nobody can give).
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// All policies, by id.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }

    /// The policy of this id.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.get(id)
    }

    /// What a question about this action or verb needs.
    pub(crate) fn slice(&self, action: &str) -> Option<&Slice> {
        self.slices.get(action).map(|slice| &**slice)
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies")
            .field("version", &self.version)
            .field("policies", &self.rules.len())
            .finish_non_exhaustive()
    }
}

fn read_policy<'a>(page: &Page<'a>, statement: &Statement<'_>) -> Result<Read<'a>, Vec<Fault>> {
    let policy = Policy::parse(None, statement.text).map_err(|errors| {
        let at = |offset: usize, message| Fault::at(page.file, page.text, statement.start + offset, message);
        errors.iter().map(|error| at(offset_of(error), sentence_of(error, ""))).collect::<Vec<_>>()
    })?;
    let mut faults = unknown_names(page, statement);
    match Rule::read(page, statement, &policy) {
        Ok(rule) if faults.is_empty() => {
            let policy = policy.new_id(PolicyId::new(&rule.id));
            Ok(Read {
                rule,
                policy,
                place: Some((page.file, page.text, statement.start)),
                declared_for: None,
            })
        }
        Ok(_) => Err(faults),
        Err(found) => {
            faults.extend(found);
            Err(faults)
        }
    }
}

fn provider_policy(id: &str, action: &Action) -> Result<Policy, String> {
    let name = action.id.as_str().escape_default();
    Policy::parse(
        Some(PolicyId::new(id)),
        format!("forbid (principal, action == Action::\"{name}\", resource);"),
    )
    .map_err(|error| format!("no policy can be made of the approval of `{}`: {error}", action.id))
}

/// The absent provider, when all actions that the policy names are of absent ones.
fn speaks_of_absent<'a>(statement: &Statement<'_>, absent: &'a BTreeSet<String>) -> Option<&'a str> {
    let provider_of = |id: &str| {
        let name =
            id.strip_prefix("provider:").or_else(|| id.split_once('.').map(|(provider, _)| provider))?;
        absent.get(name).map(String::as_str)
    };
    let mut actions = statement.literals.iter().filter(|literal| literal.type_name == "Action");
    let first = provider_of(actions.next()?.id)?;
    actions.all(|literal| provider_of(literal.id).is_some()).then_some(first)
}

/// The catalogue is not part of it: what a provider declares is part of its action's version, which an approval is
/// bound to as well. So a provider that changes one action does not void what waits on others.
fn version_of(files: &[(String, String)], registry: &Registry, defaults: Defaults) -> Digest {
    Digest::of_json(&json!({
        "files": named(files),
        "registry": registry.digest(),
        "expires": defaults.approval_expires_seconds,
    }))
}

/// The files by their names, without the folder they lie in: gateways that share a store may keep it anywhere.
pub(crate) fn named(files: &[(String, String)]) -> Vec<(&str, &str)> {
    let mut texts: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name), text.as_str()))
        .collect();
    texts.sort_unstable();
    texts
}

fn slices(
    read: &[Read<'_>],
    actions: &[Arc<Action>],
    kinds: &Kinds<'_>,
    names: &Names,
) -> Result<HashMap<String, Arc<Slice>>, String> {
    let mut sets = Sets::of(read);
    let mut slices = HashMap::with_capacity(actions.len() + VERBS.len());
    let nothing = Seen::nothing();
    for verb in VERBS {
        slices.insert(verb.to_owned(), Arc::new(sets.slice(verb, &[], &nothing, None, names)?));
    }
    let of_kinds = kinds.all().iter().map(|kind| {
        let (action, groups) = (kind.first.id.as_str(), schema::groups_of(kind.first));
        sets.slice(action, &groups, &kind.seen, None, names).map(Arc::new)
    });
    let of_kinds = of_kinds.collect::<Result<Vec<_>, _>>()?;
    for (action, kind) in actions.iter().zip(kinds.of_actions()) {
        let id = action.id.as_str();
        let slice = match sets.declared.get(id).copied() {
            None => Arc::clone(&of_kinds[*kind]),
            declared => {
                let (groups, seen) = (schema::groups_of(action), &kinds.all()[*kind].seen);
                Arc::new(sets.slice(id, &groups, seen, declared, names)?)
            }
        };
        slices.insert(id.to_owned(), slice);
    }
    Ok(slices)
}

/// Sets of policies, one for each selection.
struct Sets<'a> {
    read: &'a [Read<'a>],
    /// By action, the place of the policy that its provider declares for it.
    declared: HashMap<&'a str, usize>,
    shared: HashMap<Vec<usize>, Arc<PolicySet>>,
    /// Whether a set reads what a single call brings. Sets are shared by many actions: each is read once.
    reads_no_call: HashMap<*const PolicySet, bool>,
}

impl<'a> Sets<'a> {
    fn of(read: &'a [Read<'a>]) -> Self {
        let declared = read.iter().enumerate().filter_map(|(place, read)| Some((read.declared_for?, place)));
        Self { read, declared: declared.collect(), shared: HashMap::new(), reads_no_call: HashMap::new() }
    }

    /// For an action in these groups, with the policy at the place `declared`.
    fn slice(
        &mut self,
        action: &str,
        groups: &[String],
        seen: &Seen,
        declared: Option<usize>,
        names: &Names,
    ) -> Result<Slice, String> {
        let groups: Vec<EntityUid> = groups.iter().map(|group| names.action(group)).collect();
        let named: Vec<EntityUid> = groups.iter().cloned().chain([names.action(action)]).collect();
        let permits = self.set(Effect::Permit, &named, None)?;
        let forbids = self.set(Effect::Forbid, &named, declared)?;
        let reads_no_call = self.reads_no_call(&permits) && self.reads_no_call(&forbids);
        Ok(Slice { groups, seen: seen.clone(), permits, forbids, reads_no_call })
    }

    fn set(
        &mut self,
        effect: Effect,
        named: &[EntityUid],
        declared: Option<usize>,
    ) -> Result<Arc<PolicySet>, String> {
        let of_files = self.read.iter().enumerate().filter(|(_, read)| {
            read.declared_for.is_none() && read.policy.effect() == effect && can_name(&read.policy, named)
        });
        let selection: Vec<usize> = of_files.map(|(place, _)| place).chain(declared).collect();
        if let Some(set) = self.shared.get(&selection) {
            return Ok(Arc::clone(set));
        }
        let policies = selection.iter().map(|place| self.read[*place].policy.clone());
        let set = Arc::new(PolicySet::from_policies(policies).map_err(|error| error.to_string())?);
        self.shared.insert(selection, Arc::clone(&set));
        Ok(set)
    }

    fn reads_no_call(&mut self, set: &Arc<PolicySet>) -> bool {
        *self.reads_no_call.entry(Arc::as_ptr(set)).or_insert_with(|| memory::reads_no_call(set))
    }
}

/// Whether the scope of a policy can name an action that is, or is in, one of these.
fn can_name(policy: &Policy, named: &[EntityUid]) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => named.contains(&uid),
        ActionConstraint::In(uids) => uids.iter().any(|uid| named.contains(uid)),
    }
}
