//! Model families, declared: names, hyper-parameters and tensor expressions.
