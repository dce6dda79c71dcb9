! Learns a noisy parabola, scores two points, samples, and hashes the parameters.
program banana
  use relgrad
  implicit none
  integer, parameter :: rows = 2000, batch = 20
  real(c_float) :: x(2, rows), t, noise, drawn(2, 1)
  real(c_double) :: log_p(batch), total
  type(relgrad_config) :: config
  type(relgrad_model) :: model
  integer(c_int64_t) :: seed, hash
  integer(c_int32_t) :: status
  integer :: i, epoch

  seed = 1
  do i = 1, rows
    t = real(uniform() - 512, c_float) / 256
    noise = real(uniform() + uniform() - 1024, c_float) / 1024
    x(:, i) = [t, t * t + noise]
  end do

  status = relgrad_config_default(config, 2, 4)
  config%optimizer = RELGRAD_OPTIMIZER_NATURAL
  config%max_batch = batch
  config%input_transform = 1
  call model%open(config)
  call model%start_from(x, RELGRAD_INIT_WHITENED, 1_c_int64_t)
  do epoch = 1, 20
    do i = 1, rows, batch
      call model%step(x(:, i:i + batch - 1), 0.05_c_double)
    end do
  end do
  call model%refresh()

  total = 0
  do i = 1, rows, batch
    call model%log_likelihood(x(:, i:i + batch - 1), log_p)
    total = total + sum(log_p)
  end do
  print '(a,f8.4)', 'mean log-likelihood ', total / rows
  call model%log_likelihood(reshape([1., 1., 1., 3.], [2, 2]), log_p(:2))
  print '(a,f8.4,a,f8.4)', 'log-density on the curve ', log_p(1), ', off it ', log_p(2)
  call model%factorize()
  call model%sample(7_c_int64_t, drawn)
  print '(a,f8.4,1x,f8.4)', 'a sample ', drawn

  hash = 2166136261_c_int64_t
  do i = 1, size(model%params)
    hash = ieor(hash, iand(int(transfer(model%params(i), 0_c_int32_t), c_int64_t), 4294967295_c_int64_t))
    hash = iand(hash * 16777619, 4294967295_c_int64_t)
  end do
  print '(a,z8.8)', 'parameters ', hash

contains

  integer function uniform() ! 0 to 1023, from a 31-bit generator
    seed = modulo(seed * 16807, 2147483647_c_int64_t)
    uniform = int(seed / 2097152)
  end function

end program
