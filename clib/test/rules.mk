# The library's own tests: its sources, a test, and where the test needs one a fake
# server, in one program per sanitizer. Patience is short there, so that a silent
# server does not hold the tests up. With FAKE_AREA replies go
# through shared memory, also those of a caller who is alone.

CLIB_TESTS := general settings role vendor authorize operation dual opstate recover fault fork thread wrap message messagepart
TEST_FLAGS := -g -O1 -fno-omit-frame-pointer -DTL_PATIENCE_SECONDS=1 -DTL_RETURN_SECONDS=1 -DTL_SHARE_FROM=1 \
	'-DTL_HOST_SETTINGS="host-client.conf"'
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -DTL_HEAP
TSAN := -fsanitize=thread
TEST_OUT := $(OUT)/clib/test

define test_program
$(TEST_OUT)/$(1)_test.$(2): test/$(1)_test.c test/fake.c test/fake.h test/check.h $(SOURCES) $(HEADERS) test/rules.mk
	@mkdir -p $$(@D)
	$$(CC) $(LANGUAGE) $(WARNINGS) $(TEST_FLAGS) $(3) -o $$@ test/$(1)_test.c test/fake.c $(SOURCES)

$(TEST_OUT)/$(1).$(2).passed: $(TEST_OUT)/$(1)_test.$(2)
	@echo "clib: $(1) tests ($(2))"
	timeout 300 $$<
	FAKE_AREA=1 timeout 300 $$<
	@touch $$@
endef

$(foreach t,$(CLIB_TESTS),$(eval $(call test_program,$(t),asan,$(ASAN))))
$(foreach t,$(CLIB_TESTS),$(eval $(call test_program,$(t),tsan,$(TSAN))))
$(foreach t,$(CLIB_TESTS),$(eval $(call test_program,$(t),plain,)))

# Memory is searched without a sanitizer's, which is too much of it.
$(eval $(call test_program,secret,plain,))

$(TEST_OUT)/autostart_test: test/autostart_test.c test/check.h $(HEADERS) test/rules.mk
	@mkdir -p $(@D)
	$(CC) $(LANGUAGE) $(WARNINGS) -g -O1 -o $@ $<

$(TEST_OUT)/autostart.passed: $(TEST_OUT)/autostart_test $(OUT)/libtidelock.so
	timeout 60 $< $(OUT)/libtidelock.so
	@touch $@

# It exports what a program with another module has, as that module would.
$(TEST_OUT)/load_test: test/load_test.c test/check.h $(HEADERS) test/rules.mk
	@mkdir -p $(@D)
	$(CC) $(LANGUAGE) $(WARNINGS) -g -O1 -rdynamic -o $@ $<

$(TEST_OUT)/load.passed: $(TEST_OUT)/load_test $(OUT)/libtidelock.so
	timeout 60 $< $(OUT)/libtidelock.so
	@touch $@

test: $(TEST_OUT)/load.passed $(TEST_OUT)/secret.plain.passed $(TEST_OUT)/autostart.passed $(CLIB_TESTS:%=$(TEST_OUT)/%.asan.passed) $(CLIB_TESTS:%=$(TEST_OUT)/%.tsan.passed) \
	$(CLIB_TESTS:%=$(TEST_OUT)/%.plain.passed)

.PHONY: test
