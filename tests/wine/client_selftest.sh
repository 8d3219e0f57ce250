# client_selftest.sh - wnbd-selftest.exe, whole; part of client_test.sh.
# SPDX-License-Identifier: BSD-2-Clause

# What Wine is known not to do; all else must pass.
rig_new selftest
rm -f "$drivers/wnbd.sys"
rig_session
run_wine wnbd-selftest.exe --install
# Once in 60 starts Wine 8 does not start a driver; then once more.
out_has "not ok 2 - the driver answers" && run_wine wnbd-selftest.exe --install
grep -E "^not ok|# SKIP|^# [0-9]+ passed" "$dir/out" | sed 's/^/# /'
status_is 0 && grep -qE "^# 17[0-9] passed, 0 failed, 2 skipped" "$dir/out"
ok "wnbd-selftest: all that Wine can do"
! grep "VERIFIER: " "$rig_log" | grep -v "VERIFIER: 0 violations"
ok "and the verifier has nothing to say"
rig_end
