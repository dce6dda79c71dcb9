! relgrad for Fortran 2008: modules relgrad (single) and relgrad_f64 (double).
!
! A batch is x(dim, rows), one column a sample: the same bytes that C calls row-major, so nothing
! is copied. A layer's weight read as a Fortran matrix is W transposed: w(input, output).
! Conditions are condition(condition_len, rows); classes, counted from 0, condition(1, rows).
! Every call takes an optional stat, one of RELGRAD_OK or RELGRAD_ERR_...; without it an error
! stops the program with the text that says what is wrong and what is allowed.

module relgrad_types
  use, intrinsic :: iso_c_binding
  implicit none
  public

  integer(c_int32_t), parameter :: relgrad_abi_version = 1
  integer, parameter :: relgrad_alignment = 64
  integer(c_int32_t), parameter :: RELGRAD_OK = 0

  enum, bind(c)
    enumerator :: RELGRAD_ACTIVATION_SMOOTH_LEAKY_RELU, RELGRAD_ACTIVATION_LEAKY_TANH, &
                  RELGRAD_ACTIVATION_IDENTITY, RELGRAD_ACTIVATION_TANH_MIXTURE, &
                  RELGRAD_ACTIVATION_BEND
  end enum
  enum, bind(c)
    enumerator :: RELGRAD_CONDITION_NONE, RELGRAD_CONDITION_NUMBERS, RELGRAD_CONDITION_CLASSES
  end enum
  enum, bind(c)
    enumerator :: RELGRAD_CONDITIONED_LATENTS, RELGRAD_CONDITIONED_LAYERS, RELGRAD_CONDITIONED_BOTH
  end enum
  enum, bind(c)
    enumerator :: RELGRAD_BASE_NORMAL, RELGRAD_BASE_SECH, RELGRAD_BASE_LOGISTIC
  end enum
  enum, bind(c)
    enumerator :: RELGRAD_BIAS_NONE, RELGRAD_BIAS_SEPARATE, RELGRAD_BIAS_AFFINE, &
                  RELGRAD_BIAS_PROJECTED
  end enum
  enum, bind(c)
    enumerator :: RELGRAD_GRADIENT_RELATIVE, RELGRAD_GRADIENT_TRANSPOSED, &
                  RELGRAD_GRADIENT_ORDINARY
  end enum
  enum, bind(c)
    enumerator :: RELGRAD_OPTIMIZER_SGD, RELGRAD_OPTIMIZER_ADAM, RELGRAD_OPTIMIZER_NATURAL
  end enum
  enum, bind(c)
    enumerator :: RELGRAD_INIT_ORTHOGONAL, RELGRAD_INIT_IDENTITY, RELGRAD_INIT_WHITENED, &
                  RELGRAD_INIT_STANDARDIZED, RELGRAD_INIT_ALIGNED, &
                  RELGRAD_INIT_UNIFORM, RELGRAD_INIT_NORMAL
  end enum

  type, bind(c) :: relgrad_config
    integer(c_int32_t) :: struct_size = 0, dim = 0, layers = 0, max_batch = 0, activation = 0
    integer(c_int32_t) :: final_activation = 0, base = 0, bias = 0, input_transform = 0
    integer(c_int32_t) :: gradient = 0, optimizer = 0, crossing = 0, log_det = 0
    integer(c_int32_t) :: track_inverse = 0, report_norms = 0, level = 0
    real(c_double) :: activation_a = 0, activation_b = 0, momentum = 0, beta1 = 0, beta2 = 0
    real(c_double) :: epsilon = 0, decay = 0, damping = 0, clip = 0
    real(c_double) :: curve_rate = 0
    integer(c_int32_t) :: condition = 0, condition_len = 0, conditioned = 0, reserved = 0
    real(c_double) :: condition_rate = 0
  end type

  type, bind(c) :: relgrad_sizes
    integer(c_int32_t) :: struct_size = 0, reserved = 0
    integer(c_size_t) :: params_len = 0, gradient_len = 0, factors_len = 0, state_bytes = 0
    integer(c_size_t) :: workspace_bytes = 0, refresh_bytes = 0, start_bytes = 0
    integer(c_size_t) :: factorization_bytes = 0
  end type

  type, bind(c) :: relgrad_batch
    integer(c_int32_t) :: struct_size = 0, reserved = 0
    type(c_ptr) :: x = c_null_ptr
    integer(c_size_t) :: rows = 0, ld = 0
    type(c_ptr) :: weights = c_null_ptr
    type(c_funptr) :: base = c_null_funptr
    type(c_ptr) :: user = c_null_ptr
    integer(c_size_t) :: whole = 0
    type(c_ptr) :: condition = c_null_ptr
    integer(c_size_t) :: condition_ld = 0
  end type

  type, bind(c) :: relgrad_report
    integer(c_int32_t) :: struct_size = 0, halvings = 0
    real(c_double) :: mean_log_likelihood = 0, base_density = 0, log_slopes = 0, log_det = 0
    integer(c_int64_t) :: log_det_age = 0
    real(c_double) :: relative_gradient_norm = 0, mean_delta_norm = 0, trust_scale = 0
    real(c_double) :: curve_gradient_norm = 0
  end type

  ! A threshold on the log-likelihoods of a stream; see relgrad_alarm_start.
  type, bind(c) :: relgrad_alarm
    integer(c_int32_t) :: struct_size = 0, reserved = 0
    real(c_double) :: rate = 0, memory = 0
    integer(c_int64_t) :: rows = 0, raised = 0
    real(c_double) :: threshold = 0, mean = 0, spread = 0
  end type

  ! Calls run(task, i), a relgrad_task, once for each i from 0 to count - 1, on any threads, and
  ! returns when all calls have.
  abstract interface
    subroutine relgrad_parallel_for(user, run, task, count) bind(c)
      import :: c_ptr, c_funptr, c_size_t
      type(c_ptr), value :: user, task
      type(c_funptr), value :: run
      integer(c_size_t), value :: count
    end subroutine
    subroutine relgrad_task(task, i) bind(c)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: task
      integer(c_size_t), value :: i
    end subroutine
  end interface

  interface
    function c_config_default(config, dim, layers) bind(c, name='relgrad_config_default') result(status)
      import :: relgrad_config, c_int32_t
      type(relgrad_config), intent(inout) :: config
      integer(c_int32_t), value :: dim, layers
      integer(c_int32_t) :: status
    end function
    function relgrad_config_check(config, text, len) bind(c) result(status)
      import :: relgrad_config, c_int32_t, c_char, c_size_t
      type(relgrad_config), intent(in) :: config
      character(kind=c_char), intent(out) :: text(*)
      integer(c_size_t), value :: len
      integer(c_int32_t) :: status
    end function
    function c_alarm_start(alarm, rate, memory) bind(c, name='relgrad_alarm_start') result(status)
      import :: relgrad_alarm, c_int32_t, c_double
      type(relgrad_alarm), intent(inout) :: alarm
      real(c_double), value :: rate, memory
      integer(c_int32_t) :: status
    end function
    function c_alarm_see(alarm, log_p, raised) bind(c, name='relgrad_alarm_see') result(status)
      import :: relgrad_alarm, c_int32_t, c_double
      type(relgrad_alarm), intent(inout) :: alarm
      real(c_double), value :: log_p
      integer(c_int32_t), intent(inout) :: raised
      integer(c_int32_t) :: status
    end function
    function relgrad_abi_check(version) bind(c) result(status)
      import :: c_int32_t
      integer(c_int32_t), value :: version
      integer(c_int32_t) :: status
    end function
  end interface

  private :: c_config_default, c_alarm_start, c_alarm_see

contains

  ! The defaults for `layers` layers of `dim` features.
  function relgrad_config_default(config, dim, layers) result(status)
    type(relgrad_config), intent(inout) :: config
    integer(c_int32_t), value :: dim, layers
    integer(c_int32_t) :: status
    config%struct_size = int(c_sizeof(config), c_int32_t)
    status = c_config_default(config, dim, layers)
  end function

  ! A promised share `rate` of the rows of a stream falls below the alarm's threshold, which catches up
  ! with a change within about `memory` rows; 20 / rate is a good choice.
  function relgrad_alarm_start(alarm, rate, memory) result(status)
    type(relgrad_alarm), intent(inout) :: alarm
    real(c_double), intent(in) :: rate, memory
    integer(c_int32_t) :: status
    alarm%struct_size = int(c_sizeof(alarm), c_int32_t)
    status = c_alarm_start(alarm, rate, memory)
  end function

  ! Takes a row's log-likelihood into account: whether the row is an anomaly.
  function relgrad_alarm_see(alarm, log_p, raised) result(status)
    type(relgrad_alarm), intent(inout) :: alarm
    real(c_double), intent(in) :: log_p
    logical, intent(inout) :: raised
    integer(c_int32_t) :: status, word
    word = 0
    status = c_alarm_see(alarm, log_p, word)
    if (status == RELGRAD_OK) raised = word == 1
  end function

  ! How many numbers each row's condition has.
  pure function relgrad_condition_width(config) result(width)
    type(relgrad_config), intent(in) :: config
    integer :: width
    select case (config%condition)
    case (RELGRAD_CONDITION_NONE)
      width = 0
    case (RELGRAD_CONDITION_CLASSES)
      width = 1
    case default
      width = config%condition_len
    end select
  end function

  ! What C wrote, up to its NUL.
  function relgrad_text(c) result(text)
    character(kind=c_char), intent(in) :: c(:)
    character(len=:), allocatable :: text
    integer :: i
    text = ''
    do i = 1, size(c)
      if (c(i) == c_null_char) exit
      text = text // c(i)
    end do
  end function

  ! The first relgrad_alignment boundary in memory; allocate relgrad_alignment bytes more.
  function relgrad_aligned(memory) result(start)
    integer(c_int8_t), intent(in), target, contiguous :: memory(:)
    type(c_ptr) :: start
    integer(c_intptr_t) :: address
    address = transfer(c_loc(memory), address)
    start = c_loc(memory(1 + modulo(-address, int(relgrad_alignment, c_intptr_t))))
  end function

end module

module relgrad
  use relgrad_types
  implicit none
  integer, parameter, private :: number = c_float
#define SUFFIX ''
#include "relgrad_model.inc"
#undef SUFFIX
end module

module relgrad_f64
  use relgrad_types
  implicit none
  integer, parameter, private :: number = c_double
#define SUFFIX '_f64'
#include "relgrad_model.inc"
#undef SUFFIX
end module
