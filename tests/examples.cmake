# The examples, run as their users run them, and the tests of what they are made of.
add_dependencies(coca_tests quickstart own_variant)
add_test(NAME example_quickstart COMMAND quickstart)
add_test(NAME example_own_variant COMMAND own_variant)
foreach(program IN ITEMS attend decode)
  coca_add_test(test_${program} ${program}/${program}_test.cpp support/npy.cpp)
  target_link_libraries(test_${program} PRIVATE xtensor)
  string(TOUPPER ${program} upper)
  target_compile_definitions(test_${program} PRIVATE COCA_${upper}="$<TARGET_FILE:${program}>")
  add_dependencies(test_${program} ${program})
endforeach()
coca_add_test(test_layers layers/attention_layer_test.cpp layers/checkpoint_test.cpp
  support/npy.cpp)
target_link_libraries(test_layers PRIVATE attention_layer)
target_compile_definitions(test_layers PRIVATE COCA_LAYERS="$<TARGET_FILE:layers>"
  COCA_LAYERS_GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden/layers")
add_dependencies(test_layers layers)
if(NOT COCA_TEST_ALL)
  return()
endif()

add_dependencies(coca_tests score_decay generate stream_forever)
add_test(NAME example_score_decay COMMAND score_decay ${CMAKE_CURRENT_BINARY_DIR})
foreach(scheme IN ITEMS rotary coca-slack coca-strict)
  add_test(NAME example_generate_${scheme}
    COMMAND generate --scheme ${scheme} --tokens 24 --layers 2 --threads 2 --check)
endforeach()
add_test(NAME example_stream_forever COMMAND stream_forever
  ${PROJECT_SOURCE_DIR}/examples/data/war-and-peace-chapters.txt --window 124 --tokens 2000)
# Built for this machine, as the example is, and so without the kernels of the other tests.
coca_add_separate_test(test_language_model language_model/language_model_test.cpp)
target_link_libraries(test_language_model PRIVATE small_language_model)
add_dependencies(coca_training_tests test_language_model)
add_dependencies(coca_training_tests language_model)
# The language model itself: a small model, trained in two runs, and asked.
set(model ${CMAKE_CURRENT_BINARY_DIR}/language_model)
set(book ${PROJECT_SOURCE_DIR}/examples/data/war-and-peace-chapters.txt)
set(train language_model train --text ${book} --out ${model} --layers 1 --heads 2 --head-dim 8
  --hidden 32 --length 128 --sequences 2 --steps 6 --passkeys-first 3)
add_test(NAME example_language_model_new COMMAND ${CMAKE_COMMAND} -E rm -rf ${model})
add_test(NAME example_language_model_train COMMAND ${train} --stop-after 3 --save-every 2)
add_test(NAME example_language_model_resume COMMAND ${train})
set_tests_properties(example_language_model_new example_language_model_train
  example_language_model_resume PROPERTIES FIXTURES_SETUP language_model)
set_tests_properties(example_language_model_train PROPERTIES DEPENDS example_language_model_new)
set_tests_properties(example_language_model_resume PROPERTIES
  DEPENDS example_language_model_train)
function(coca_ask_model name expected)
  add_test(NAME example_language_model_${name} COMMAND language_model ${ARGN} --model ${model})
  set_tests_properties(example_language_model_${name} PROPERTIES
    FIXTURES_REQUIRED language_model PASS_REGULAR_EXPRESSION ${expected})
endfunction()
coca_ask_model(eval "coca-slack,dynamic-ntk,causal,512," eval --text ${book} --lengths 128,512
  --windows 2 --scaling dynamic-ntk)
coca_ask_model(passkey "coca-slack,none,streaming,256,0.50,2," passkey --text ${book}
  --lengths 256 --depths 0.5 --cases 2 --mask streaming)
coca_ask_model(generate "Well, Prince, " generate --bytes 20)
