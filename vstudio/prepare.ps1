# prepare.ps1 - version.h, version.rc and wnbd.inf, from the templates that meson fills in.
# SPDX-License-Identifier: BSD-2-Clause
#
# usage: prepare.ps1 -Out DIR -File NAME -About TEXT -Type VFT_... -SubType VFT2_...

param([string]$Out, [string]$File, [string]$About, [string]$Type, [string]$SubType)
$ErrorActionPreference = "Stop"
$root = Split-Path -Parent (Split-Path -Parent $MyInvocation.MyCommand.Path)
$line = Select-String -Path "$root\meson.build" -Pattern "version: '([0-9.]+)'" |
	Select-Object -First 1
$version = $line.Matches[0].Groups[1].Value
$part = $version.Split(".")
$values = @{
	MAJOR = $part[0]; MINOR = $part[1]; PATCH = $part[2]; VERSION = $version
	FILE = $File; ABOUT = $About; TYPE = $Type; SUBTYPE = $SubType
	DATE = (Get-Date).ToUniversalTime().ToString("MM/dd/yyyy",
		[Globalization.CultureInfo]::InvariantCulture)
}

function Fill($template, $to) {
	$text = Get-Content -Raw "$root\$template"
	foreach ($name in $values.Keys) {
		$text = $text.Replace("@$name@", $values[$name])
	}
	Set-Content -NoNewline -Path "$Out\$to" -Value $text
}

New-Item -ItemType Directory -Force $Out | Out-Null
Fill "windows\version.h.in" "version.h"
Fill "windows\version.rc.in" "version.rc"
Fill "windows\install\wnbd.inf.in" "wnbd.inf"
Set-Content -Path "$Out\strings.h" -Value "/* see compat/msvc.h */"
Set-Content -Path "$Out\version_driver.h" -Value @(
	"#define WNBD_VERSION_MAJOR $($part[0])"
	"#define WNBD_VERSION_MINOR $($part[1])"
	"#define WNBD_VERSION_PATCH $($part[2])"
	"#define WNBD_VERSION_TEXT ""$version""")
