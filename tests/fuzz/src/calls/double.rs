//! The entry points in double, by the names that both types share.

pub mod abi {
    pub use relgrad::ffi::{
        relgrad_accumulate_f64 as accumulate, relgrad_apply_f64 as apply,
        relgrad_apply_factors_f64 as apply_factors, relgrad_attach_f64 as attach,
        relgrad_batch_f64 as Batch, relgrad_blob_bytes_f64 as blob_bytes,
        relgrad_config_of_f64 as config_of, relgrad_context_f64 as Context,
        relgrad_evaluator_bytes_f64 as evaluator_bytes, relgrad_evaluator_f64 as evaluator,
        relgrad_factorize_f64 as factorize, relgrad_factors_f64 as factors,
        relgrad_forward_f64 as forward, relgrad_gradient_f64 as gradient, relgrad_init_f64 as init,
        relgrad_input_gradient_f64 as input_gradient, relgrad_inverse_f64 as inverse,
        relgrad_inverse_given_f64 as inverse_given, relgrad_load_f64 as load,
        relgrad_log_det_f64 as log_det, relgrad_log_likelihood_f64 as log_likelihood,
        relgrad_merge_f64 as merge, relgrad_message_f64 as message,
        relgrad_params_init_data_f64 as params_init_data, relgrad_params_init_f64 as params_init,
        relgrad_query_sizes_f64 as query_sizes, relgrad_refresh_f64 as refresh,
        relgrad_reset_optimizer_f64 as reset_optimizer, relgrad_sample_f64 as sample,
        relgrad_sample_given_f64 as sample_given, relgrad_save_f64 as save,
        relgrad_set_parallel_f64 as set_parallel, relgrad_step_f64 as step,
        relgrad_steps_f64 as steps, relgrad_sum_log_slopes_f64 as sum_log_slopes,
    };
    pub type T = f64;
}

#[path = "run.rs"]
pub mod run;
