# Runs PROGRAM with ARGUMENTS where COCA_TARGET makes a difference, as OTHER_TARGET finds out.
execute_process(COMMAND ${OTHER_TARGET} RESULT_VARIABLE same)
if(same)
  message("Skipped: this machine lacks $ENV{COCA_TARGET}, or takes it anyway")
  return()
endif()
execute_process(COMMAND ${PROGRAM} ${ARGUMENTS} COMMAND_ERROR_IS_FATAL ANY)
