//! May they, who must approve, and why.
