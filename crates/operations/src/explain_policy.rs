//! Why the policies answer as they do: which of them decided, what would be needed, and by whom.

use std::sync::Arc;

use guichet_admission::{Call, Refusal};
use guichet_contract::{Answer, Explanation, Problem, Verb, code};
use guichet_rules::{Decision, Foresight};

use crate::{
    about::{About, Subject},
    platform::Platform,
};

/// Explains what the policies answer to the caller, to a run's requester, or to another person.
///
/// # Errors
/// Not signed in; an action, input or run that is none; another person without the right to audit.
pub async fn explain_policy(
    platform: &Arc<Platform>,
    call: &Call,
    about: &About,
) -> Result<Explanation, Refusal> {
    let subject = Subject::find(platform, call, about, Verb::ExplainPolicy).await?;
    let platform = Arc::clone(platform);
    on_the_side(move || explanation(&platform, subject)).await
}

/// Who could approve is asked of each who might: not on a thread that serves others.
pub(crate) async fn on_the_side<T: Send + 'static>(
    asking: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(asking).await.map_err(|error| {
        Problem::new(code::INTERNAL, format!("the policies could not be asked: {error}"))
            .next("tell those who run the gateway; its log has the fault")
            .into()
    })
}

fn explanation(platform: &Platform, subject: Subject) -> Explanation {
    let policies = &subject.world.policies;
    let foresight = subject.thought.ask(policies, &subject.principal);
    let (answer, decided_by) = match &foresight {
        Foresight::Decided(decision) => (answer_of(decision), policies.decided_by(decision)),
        Foresight::Depends(ids) => (Answer::Depends, policies.told(ids)),
    };
    let by_default = matches!(&foresight, Foresight::Decided(decision) if decision.is_by_default());
    let mut notes = notes(&subject, answer);
    let (mut reasons, mut approvals, mut next) = (Vec::new(), Vec::new(), None);
    match foresight {
        Foresight::Decided(Decision::NeedsApproval { conditions, .. }) => {
            approvals = subject.approvals(&conditions, &subject.approvers(platform, &conditions));
            for approval in &approvals {
                let others = approval.given.iter().filter(|name| !approval.people.contains(name)).count();
                if approval.people.len() + others < usize::from(approval.count) {
                    notes.push(format!(
                        "{} of {} people can give the approval of `{}`: as it is, it cannot be given",
                        approval.people.len(),
                        approval.count,
                        approval.policy
                    ));
                }
            }
        }
        Foresight::Decided(Decision::Refused { reasons: why }) => {
            next = why.iter().find_map(|reason| reason.next.clone());
            if by_default && subject.thought.input.is_some() {
                next = Some(platform.door.advice(&subject.world, &subject.principal, &subject.thought));
            }
            reasons = why.into_iter().map(|reason| reason.sentence).collect();
        }
        Foresight::Depends(_) => {
            next =
                Some("ask again with the input: flags as for the command itself, or --input JSON".to_owned());
        }
        Foresight::Decided(Decision::Allowed { .. }) => {}
    }
    let action = &subject.thought.action.action;
    Explanation {
        answer,
        // While it depends, nobody can say of the others that they do not hold.
        did_not_hold: match answer {
            Answer::Depends => Vec::new(),
            _ => policies.others_about(action.id.as_str(), &decided_by),
        },
        decided_by,
        reasons,
        approvals,
        next,
        notes,
        action: action.id.clone(),
        effect: action.effect,
        run: subject.run.as_ref().map(|run| run.id),
        resource: subject.thought.resource.clone(),
        owner: subject.thought.owner.clone(),
        environment: subject.thought.environment.clone(),
        surface: subject.thought.surface,
        policy_version: policies.version().clone(),
        principal: subject.principal,
    }
}

pub(crate) fn answer_of(decision: &Decision) -> Answer {
    match decision {
        Decision::Allowed { .. } => Answer::Allowed,
        Decision::NeedsApproval { .. } => Answer::NeedsApproval,
        Decision::Refused { .. } => Answer::Refused,
    }
}

fn notes(subject: &Subject, answer: Answer) -> Vec<String> {
    let mut notes = Vec::new();
    let action = &subject.thought.action.action;
    if let Some(run) = &subject.run {
        if run.policy_version != *subject.world.policies.version() {
            notes.push("the policies have changed since this run was submitted".to_owned());
        }
        if run.action_version != action.version {
            notes.push("the declaration of the action has changed since this run was submitted".to_owned());
        }
    } else if action.plan && answer != Answer::Depends {
        notes.push(
            "the action has a plan, which may narrow what it acts on; the policies are asked again about that"
                .to_owned(),
        );
    }
    notes
}
