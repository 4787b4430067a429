//! What was delivered long ago is forgotten without a look at all the rest.

use super::Directory;
use crate::sqlite::deliveries;

#[tokio::test]
async fn who_forgets_does_not_look_at_what_stays() {
    let directory = Directory::fresh();
    let store = directory.store();
    for (statement, (table, index)) in [
        (deliveries::OLD, ("delivery_log", "delivery_log_by_at (at<?)")),
        (deliveries::OLD_TOLD, ("told", "deliveries_by_at (at<?)")),
    ] {
        let plan = store
            .read(move |connection| {
                let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
                let steps = explain.query_map([0, 250], |row| row.get::<_, String>(3))?;
                Ok(steps.collect::<Result<Vec<_>, _>>()?)
            })
            .await
            .unwrap();
        let is_it = |step: &&String| step.contains(&format!("SEARCH {table} ")) && step.contains(index);
        assert!(plan.iter().any(|step| is_it(&step)), "{plan:?}");
        assert!(!plan.iter().any(|step| step.contains("SCAN")), "{plan:?}");
    }
}
