# reinstall.ps1 - removes WNBD disks and drivers, installs the driver beside this file.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage, in an elevated PowerShell: .\reinstall.ps1

$ErrorActionPreference = "Stop"
$here = Split-Path -Parent $MyInvocation.MyCommand.Path
$client = Join-Path $here "wnbd-client.exe"
$inf = Join-Path $here "wnbd.inf"

foreach ($file in "wnbd-client.exe", "libwnbd.dll", "wnbd.inf", "wnbd.sys") {
	if (-not (Test-Path (Join-Path $here $file))) {
		Write-Error "$file is not beside reinstall.ps1"
	}
}
$user = New-Object Security.Principal.WindowsPrincipal(
	[Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $user.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
	Write-Error "Use an elevated PowerShell."
}

Write-Host "Removing what is installed"
& $client uninstall-driver
if ($LASTEXITCODE -ne 0) {
	Write-Warning "uninstall-driver: error $LASTEXITCODE; going on"
}
Write-Host "Installing $inf"
& $client install-driver $inf
if ($LASTEXITCODE -ne 0) {
	Write-Error "install-driver: error $LASTEXITCODE"
}
& $client version
exit $LASTEXITCODE
