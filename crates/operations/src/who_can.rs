//! Who can do something: every user of the gateway is asked about, as the door would ask.

use std::{collections::BTreeSet, sync::Arc};

use guichet_admission::{Call, Refusal, Thought, World};
use guichet_contract::{Able, Answer, PrincipalKind, Verb, WhoCan};
use guichet_rules::{Decision, Foresight};

use crate::{
    about::{About, Subject},
    explain_policy::on_the_side,
    platform::Platform,
};

/// Those who can, at once, with an approval, or depending on an input that is not known.
///
/// # Errors
/// No right to audit; an action or input that is none.
pub async fn who_can(platform: &Arc<Platform>, call: &Call, about: &About) -> Result<WhoCan, Refusal> {
    let subject = Subject::find(platform, call, about, Verb::WhoCan).await?;
    let everybody = platform.door.identity().everybody();
    let Subject { world, thought, .. } = subject;
    let (able, asked, not_users) = {
        let (world, thought) = (Arc::clone(&world), thought.clone());
        // Thousands of people are some tenths of a second of evaluation.
        on_the_side(move || able(&world, &thought, everybody)).await?
    };
    Ok(WhoCan {
        action: thought.action.action.id.clone(),
        resource: thought.resource,
        owner: thought.owner,
        environment: thought.environment,
        able,
        asked,
        not_users,
        policy_version: world.policies.version().clone(),
    })
}

fn able(
    world: &World,
    thought: &Thought,
    everybody: Vec<(String, PrincipalKind)>,
) -> (Vec<Able>, usize, Vec<String>) {
    let asked = everybody.len();
    let members: BTreeSet<&String> = world.registry.teams().flat_map(|team| &team.members).collect();
    let not_users = members
        .into_iter()
        .filter(|member| everybody.binary_search_by(|(name, _)| name.cmp(member)).is_err())
        .cloned()
        .collect();
    let able = everybody
        .into_iter()
        .filter_map(|(name, kind)| {
            let principal = world.principal(&name, kind);
            let (answer, policies, waits_for) = match thought.ask(&world.policies, &principal) {
                Foresight::Decided(Decision::Allowed { policies, .. }) => {
                    (Answer::Allowed, policies, Vec::new())
                }
                Foresight::Decided(Decision::NeedsApproval { conditions, policies, .. }) => {
                    let blind = thought.resource.is_none();
                    let words = conditions.iter().map(|condition| {
                        if blind { condition.because.clone() } else { condition.to_string() }
                    });
                    (Answer::NeedsApproval, policies, words.collect())
                }
                // Who only has to write something can; what comes of it then depends on what they write.
                Foresight::Decided(refused) if refused.wants_reason() => {
                    let Decision::Refused { reasons } = refused else { return None };
                    let policies = reasons.iter().filter_map(|reason| reason.policy.clone()).collect();
                    let words = reasons.into_iter().map(|reason| reason.sentence).collect();
                    (Answer::Depends, policies, words)
                }
                Foresight::Decided(Decision::Refused { .. }) => return None,
                Foresight::Depends(policies) => (Answer::Depends, policies, Vec::new()),
            };
            Some(Able { name, kind, answer, policies: world.policies.told(&policies), waits_for })
        })
        .collect();
    (able, asked, not_users)
}
