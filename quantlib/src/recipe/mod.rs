//! From a model and a wish to a plan: llama-quantize's mixtures and overrides.
