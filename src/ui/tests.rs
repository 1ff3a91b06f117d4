//! The main flows through the real views, asserted on the accessibility tree.
