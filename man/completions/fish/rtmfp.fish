# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rtmfp_global_optspecs
    string join \n v/verbose version h/help
end

function __fish_rtmfp_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rtmfp_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rtmfp_using_subcommand
    set -l cmd (__fish_rtmfp_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rtmfp -n "__fish_rtmfp_needs_command" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -l version -d 'Print the version'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "publish" -d 'Publish a stream in real time: an FLV file, or frames made up'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "play" -d 'Play a stream, count what arrives and keep it if asked to'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "measure" -d 'Publish a stream, play it back, and tell how long each frame took'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "compare" -d 'Compare two FLV files message by message'
complete -c rtmfp -n "__fish_rtmfp_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l clip -d 'Publish this FLV file, paced by its timestamps' -r -F
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l duration -d 'Without --clip: how long to publish frames that are made up' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l bitrate -d 'Without --clip: how much video, in kbit/s' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l streams -d 'Publish this many streams at once; their names get -0, -1 and so on appended' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l timeout -d 'Give up when the server has not answered for so long, or nothing arrives any more' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand publish" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l out -d 'Write what arrives to this FLV file' -r -F
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l count -d 'Stop after so many audio and video messages' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l duration -d 'Stop so long after the first message' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l timeout -d 'Give up when the server has not answered for so long, or nothing arrives any more' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand play" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l clip -d 'Publish this FLV file, paced by its timestamps' -r -F
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l duration -d 'Without --clip: how long to publish frames that are made up' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l bitrate -d 'Without --clip: how much video, in kbit/s' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l timeout -d 'Give up when the server has not answered for so long, or nothing arrives any more' -r
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand measure" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand compare" -l json -d 'Print the result as one line of JSON'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand compare" -s v -l verbose -d 'Log more: -v what happens to each client, -vv details, -vvv everything'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare help" -f -a "publish" -d 'Publish a stream in real time: an FLV file, or frames made up'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare help" -f -a "play" -d 'Play a stream, count what arrives and keep it if asked to'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare help" -f -a "measure" -d 'Publish a stream, play it back, and tell how long each frame took'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare help" -f -a "compare" -d 'Compare two FLV files message by message'
complete -c rtmfp -n "__fish_rtmfp_using_subcommand help; and not __fish_seen_subcommand_from publish play measure compare help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
