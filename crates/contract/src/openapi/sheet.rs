//! All that has been found in a document, and the operations that survive it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::{
    Strictness,
    finding::{Finding, Findings},
    links,
    operation::{self, Draft, Found},
    paths,
    schema::Shared,
};

/// Values all input schemas of a document may consist of together.
const MOST_VALUES: usize = 3_000_000;
/// Faults, and warnings, told of one document.
const MOST_FINDINGS: usize = 1_000;

/// What has been found in the whole document.
pub(super) struct Sheet {
    strictness: Strictness,
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
    refused: Vec<Finding>,
    /// A component that is used twice is looked at twice, and told once.
    told: HashSet<Finding>,
}

impl Sheet {
    /// Begins with what concerns the whole document.
    pub(super) fn new(strictness: Strictness, whole: Findings) -> Self {
        let (faults, warnings) = (whole.faults, whole.warnings);
        Self { strictness, faults, warnings, refused: Vec::new(), told: HashSet::new() }
    }

    /// Warnings and operations left out; or the faults, when there are any.
    pub(super) fn close(self) -> Result<(Vec<Finding>, Vec<Finding>), Vec<Finding>> {
        if self.faults.is_empty() { Ok((self.warnings, self.refused)) } else { Err(self.faults) }
    }

    pub(super) fn findings(&self) -> Findings {
        Findings::new(self.strictness)
    }

    pub(super) fn is_lenient(&self) -> bool {
        self.strictness == Strictness::Lenient
    }

    pub(super) fn warn(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.take_warning(Finding::new(pointer, message));
    }

    fn take_warning(&mut self, warning: Finding) {
        if self.warnings.len() < MOST_FINDINGS && self.told.insert(warning.clone()) {
            self.warnings.push(warning);
        }
    }

    /// Takes over what was found in one part. `false`: the part cannot be used.
    pub(super) fn settle(&mut self, what: &str, pointer: &str, findings: Findings) -> bool {
        findings.warnings.into_iter().for_each(|warning| self.take_warning(warning));
        if findings.faults.is_empty() {
            return true;
        }
        match self.strictness {
            Strictness::Strict => {
                for fault in findings.faults {
                    if self.faults.len() < MOST_FINDINGS && self.told.insert(fault.clone()) {
                        self.faults.push(fault);
                    }
                }
            }
            Strictness::Lenient => {
                let why: Vec<String> = findings.faults.iter().map(Finding::to_string).collect();
                self.refused.push(Finding::new(pointer, format!("{what} is left out: {}", why.join(" — "))));
            }
        }
        false
    }

    /// Reads each operation for itself.
    pub(super) fn drafts<'a>(
        &mut self,
        document: &'a Value,
        provider: &str,
        found: &[Found<'a>],
        shared: &mut Shared<'a>,
    ) -> Vec<Draft> {
        // Without regard to case: two ids that differ in nothing else are told apart by no one who types them.
        let mut bearers: BTreeMap<String, Vec<&Found<'_>>> = BTreeMap::new();
        for one in found {
            bearers.entry(one.id.to_lowercase()).or_default().push(one);
        }
        let mut drafts = Vec::new();
        let mut values = 0_usize;
        for one in found {
            let mut findings = Findings::new(self.strictness);
            paths::check_operation(one, &bearers, &mut findings);
            let what = one.what();
            if one.at.value.is_object() {
                let room = MOST_VALUES.saturating_sub(values);
                let (draft, used) = operation::read(document, provider, one, (shared, room), &mut findings);
                values += used;
                if self.settle(&what, &one.at.pointer, findings) {
                    drafts.push(draft);
                }
            } else {
                self.settle(&what, &one.at.pointer, findings);
            }
        }
        drafts
    }

    /// Drops what links to nothing, and then what takes its values from that, until all links hold.
    pub(super) fn linked(&mut self, mut drafts: Vec<Draft>, declared: &BTreeSet<&str>) -> Vec<Draft> {
        let by_operation: HashMap<&str, &Draft> =
            drafts.iter().map(|draft| (draft.action.operation.as_str(), draft)).collect();
        let mut users: HashMap<&str, Vec<&Draft>> = HashMap::new();
        let mut gone: HashSet<String> = HashSet::new();
        let mut to_tell: Vec<&str> = Vec::new();
        for draft in &drafts {
            for options in draft.action.options.values() {
                users.entry(&options.operation).or_default().push(draft);
            }
            let mut findings = Findings::new(self.strictness);
            links::check(draft, &by_operation, declared, &mut findings);
            if !self.settle(&draft.what(), &draft.pointer, findings) {
                gone.insert(draft.action.operation.clone());
                to_tell.push(&draft.action.operation);
            }
        }
        // In our own documents each fault is told once, where it is; what follows from it is noise.
        while let (Strictness::Lenient, Some(operation)) = (self.strictness, to_tell.pop()) {
            for user in users.remove(operation).into_iter().flatten() {
                let mut findings = Findings::new(self.strictness);
                links::lost(user, operation, &mut findings);
                if gone.insert(user.action.operation.clone())
                    && !self.settle(&user.what(), &user.pointer, findings)
                {
                    to_tell.push(&user.action.operation);
                }
            }
        }
        drop((by_operation, users));
        drafts.retain(|draft| !gone.contains(&draft.action.operation));
        self.keep_readable_row_actions(&mut drafts);
        drafts
    }

    /// A row offers what can be read; the rest is told.
    fn keep_readable_row_actions(&mut self, drafts: &mut [Draft]) {
        let readable: HashSet<String> = drafts.iter().map(|draft| draft.action.operation.clone()).collect();
        for draft in drafts {
            let Some(view) = &mut draft.action.view else { continue };
            let (kept, lost): (Vec<String>, Vec<String>) = std::mem::take(&mut view.row_actions)
                .into_iter()
                .partition(|operation| readable.contains(operation));
            view.row_actions = kept;
            for operation in lost {
                self.warn(
                    format!("{}/x-guichet/view/row_actions", draft.pointer),
                    format!("`{operation}` is not offered on a row, because it could not be read"),
                );
            }
        }
    }
}
