//! The place in a history holds still.
