//! The ledger of the gateway that plays one.

use guichet_ledger::{Edge, KeySet, Signer, Tree, leaf_hash};

use crate::fake::Part;

/// Five entries of a ledger.
pub(crate) fn signed_leaves() -> Vec<String> {
    (0..5).map(|index| format!("{{\"verb\":\"sign_in\",\"n\":{index}}}")).collect()
}

impl Part {
    /// Signs a checkpoint over these leaves with the key of this seed.
    pub(crate) fn sign(&mut self, seed: u8, leaves: &[String]) {
        self.sign_with(&[seed], leaves);
    }

    /// Signs with the keys of these seeds, the current one first.
    pub(crate) fn sign_with(&mut self, seeds: &[u8], leaves: &[String]) {
        let signer = |seed: &u8| Signer::from_seed("guichet.example/staging", [*seed; 32]).unwrap();
        let mut edge = Edge::new();
        for leaf in leaves {
            edge.push(leaf_hash(leaf.as_bytes()));
        }
        let tree = Tree { size: edge.size(), root: edge.root() };
        let keys = KeySet::new(signer(&seeds[0]), seeds[1..].iter().map(signer).collect());
        let keys = keys.unwrap();
        self.checkpoint = keys.sign(&tree);
        self.keys = keys.verifiers().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        self.signer = Some(signer(&seeds[0]));
        self.leaves = leaves.to_vec();
    }
}
