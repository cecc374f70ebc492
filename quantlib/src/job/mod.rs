//! Carries a plan out: streams tiles with bounded memory into an output that appears whole.
