module interop/shared

go 1.24.4
