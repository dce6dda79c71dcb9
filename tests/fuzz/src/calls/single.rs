//! The entry points in float, by the names that both types share.

pub mod abi {
    pub use relgrad::ffi::{
        relgrad_accumulate as accumulate, relgrad_apply as apply,
        relgrad_apply_factors as apply_factors, relgrad_attach as attach, relgrad_batch as Batch,
        relgrad_blob_bytes as blob_bytes, relgrad_config_of as config_of,
        relgrad_context as Context, relgrad_evaluator as evaluator,
        relgrad_evaluator_bytes as evaluator_bytes, relgrad_factorize as factorize,
        relgrad_factors as factors, relgrad_forward as forward, relgrad_gradient as gradient,
        relgrad_init as init, relgrad_input_gradient as input_gradient, relgrad_inverse as inverse,
        relgrad_inverse_given as inverse_given, relgrad_load as load, relgrad_log_det as log_det,
        relgrad_log_likelihood as log_likelihood, relgrad_merge as merge,
        relgrad_message as message, relgrad_params_init as params_init,
        relgrad_params_init_data as params_init_data, relgrad_query_sizes as query_sizes,
        relgrad_refresh as refresh, relgrad_reset_optimizer as reset_optimizer,
        relgrad_sample as sample, relgrad_sample_given as sample_given, relgrad_save as save,
        relgrad_set_parallel as set_parallel, relgrad_step as step, relgrad_steps as steps,
        relgrad_sum_log_slopes as sum_log_slopes,
    };
    pub type T = f32;
}

#[path = "run.rs"]
pub mod run;
