function _sscd_completion
    env _SSCD_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \
        _TYPER_COMPLETE_ARGS=(commandline -cp) sscd
end

complete --command sscd --no-files --arguments '(_sscd_completion get-args)' \
    --condition '_sscd_completion is-args'
