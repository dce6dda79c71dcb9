! The Fortran modules in both precisions: sizes of structures, errors, there and back.
module single
  use relgrad
  implicit none
  integer, parameter :: number = c_float
  real(number), parameter :: near = 1e-3
  include 'test_relgrad.inc'
end module

module double
  use relgrad_f64
  implicit none
  integer, parameter :: number = c_double
  real(number), parameter :: near = 1e-9_number
  include 'test_relgrad.inc'
end module

program test_relgrad
  use single, only: test_single => test, threads_single => test_threads, &
                    conditions_single => test_conditions
  use double, only: test_double => test, threads_double => test_threads, &
                    conditions_double => test_conditions
  implicit none
  call test_single()
  call test_double()
  call threads_single()
  call threads_double()
  call conditions_single()
  call conditions_double()
  print '(a)', 'ok: Fortran'
end program
